"""The engine: an artifact on a device, called with arrays."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime import live
from cnnc_runtime.batch_axis import batch_of
from cnnc_runtime.batching import ALONE, Batcher, Finished, Request
from cnnc_runtime.computation import Computation
from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError
from cnnc_runtime.feeds import Checker, all_finite
from cnnc_runtime.gpu.tensorrt_cache import seal
from cnnc_runtime.maps.windows import with_room
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.opening import open_model
from cnnc_runtime.providers import GpuOptions
from cnnc_runtime.recurrent.streaming import Stream
from cnnc_runtime.session import Optimization
from cnnc_runtime.shapes import read_shapes, smallest_shapes
from cnnc_runtime.stream import in_batches
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Array", "Engine", "load"]

Array = NDArray[Any]

# Seconds of a run. Passing a call to another thread and back takes some 50 microseconds, more than joining saves.
_WORTH_JOINING = 250e-6


class Engine:
    """Runs one artifact on one device; one engine serves any number of threads.

    Args:
        model: a path to an .onnx file, or the serialized model.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`.
        threads: CPU threads of one run; if None, what this process really has (affinity, container quota).
        spinning: whether its threads burn their cores for a while when they wait for work, to start sooner: off where
            others need the cores meanwhile. If None, on for the first open engine of a process.
        memory_limit: bytes of onnxruntime's memory on a GPU.
        shapes: what will be run, prepared now: the shape of a net's only input, {input name: shape}, or a list of
            these. With CUDA graphs their batches are the buckets.
        optimization: onnxruntime's own graph optimization.
        allow_nonfinite: take NaN and infinity as values like others. They are refused otherwise, in host memory.
        require_device: fail if any node, or a copy between devices, is not on the device.
        cache: keep the optimized model (TensorRT: the engine) for the next start; None: if CNNC_CACHE names a folder.
        gpu: how a GPU computes; `"measured"`: as proves fastest on `shapes`, which is kept where there is a cache.
        max_batch: samples that `submit` joins into one run.
        max_wait: seconds that `submit` waits for them at most, once no batch is running.
        name: what messages call the model; its path if None.

    Attributes:
        inputs, outputs: a `TensorSpec` each.
        device: where it runs, `cpu` or `cuda:0`.
        gpu: how a GPU computes here.
        provider: the onnxruntime provider in use, as the session reports it.
        metadata: what cnnc wrote into the artifact; None for an ONNX file of another tool.
        session: the onnxruntime session itself.

    Raises:
        DeviceError: the device asked for cannot be used, or (`require_device`) not for all of the net.
        InvalidInputError, UnsafeInputError, UnsupportedModelError, ResourceLimitError: the model cannot be.
        UsageError: an option is not understood.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        device: str = "auto",
        threads: int | None = None,
        spinning: bool | None = None,
        memory_limit: int | None = None,
        shapes: Any = None,
        optimization: Optimization = "all",
        allow_nonfinite: bool = False,
        require_device: bool = False,
        cache: bool | None = None,
        gpu: GpuOptions | Literal["measured"] | None = None,
        max_batch: int = 32,
        max_wait: float = 0.002,
        name: str | None = None,
    ) -> None:
        opened = open_model(
            model,
            device=device,
            threads=threads,
            spinning=spinning,
            memory_limit=memory_limit,
            optimization=optimization,
            gpu=gpu,
            shapes=shapes,
            cache=cache,
            profile=require_device,
            name=name,
        )
        self.session, self._name, self.device = opened.session, opened.name, str(opened.device)
        self.gpu = opened.gpu
        self.provider: str = self.session.get_providers()[0]
        self._describe()
        ranges = self.metadata.input_ranges if self.metadata is not None else {}
        self._checker = Checker(self.inputs, ranges, allow_nonfinite, self.device, self._name)
        self._shapes = read_shapes(shapes, self.inputs)
        self._computation = Computation(opened, self.inputs, self.outputs, self._shapes, ranges)
        self._batcher = Batcher(self._computation.host, max_batch, max_wait)
        self._execute = self._computation.execute
        # The fast path of run(): the dtype and shape of a net's only input, as the checker accepted them last.
        self._accepted: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        # The same for submit() and map(), of a net whose samples are independent.
        self._joined: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._runs_at_once = False  # what submit() is given, found out at its first call
        self._is_remembered = len(self.inputs) == 1 and not ranges
        self._first_input = self.inputs[0].name
        self._looks = self._first_input in self._checker.finite
        self._engines = opened.engines
        self._refusal: str | None = None
        live.add(self)
        try:
            if self._shapes or require_device:
                self.warmup()
            if require_device:
                opened.require_placement()
        except BaseException:
            self.close()
            raise

    def _describe(self) -> None:
        try:
            self.inputs = tuple(TensorSpec.of(arg) for arg in self.session.get_inputs())
            self.outputs = tuple(TensorSpec.of(arg) for arg in self.session.get_outputs())
            self.metadata = Metadata.from_props(self.session.get_modelmeta().custom_metadata_map)
            self.inputs = with_room(self.inputs, self.metadata)
        except CnncError as error:
            raise type(error)(f"{self._name}: {error}") from error
        if not self.inputs or not self.outputs:
            raise InvalidInputError(f"{self._name} has no {'outputs' if self.inputs else 'inputs'}: nothing to run")
        self._output_names = [spec.name for spec in self.outputs]

    @overload
    def run(self, x: Mapping[str, Any]) -> dict[str, Any]: ...
    @overload
    def run(self, x: Any) -> Any: ...

    def run(self, x: Any) -> Any:
        """Compute the outputs of `x`.

        Args:
            x: the array for a net's only input, or {input name: array}; batch first. PyTorch tensors, and whatever
                numpy can read through `__array__` or DLPack, count as arrays. Memory is shared, not copied, unless
                dtype, byte order or layout has to change.

        Returns:
            For an array: the output array, or a tuple of them. For a dict: {output name: array}. For PyTorch tensors:
            tensors, on their device.

        Raises:
            InvalidInputError: a name, dtype, dimension or value does not fit, or the net fails on these values.
            ResourceLimitError: memory ran out, even for a single sample.
            DeviceError: the GPU failed.
            UsageError: the engine is closed, or was loaded before this process was forked.
        """
        by_name = type(x) is dict and len(x) == 1
        array = x.get(self._first_input) if by_name else x
        if type(array) is np.ndarray and (array.dtype, array.shape) == self._accepted and array.flags.c_contiguous:
            if self._looks and not all_finite(array):
                self._checker.check_finite(self._first_input, array)
            feed = {self._first_input: array}
            try:
                results = self._execute(self._output_names, feed)
            except Exception as error:
                results = self._computation.recover(feed, error)
                self._execute = self._computation.execute
            return dict(zip(self._output_names, results, strict=True)) if by_name else _unwrap(results)
        call = self._checker.call(x)
        if call.on_device:
            results = self._computation.on_device(call.feed)
        else:
            if self._is_remembered:
                array = call.feed[self._first_input]
                self._accepted = (array.dtype, array.shape)
            results = self._computation.host(call.feed)
        return call.finish(self._output_names, results)

    __call__ = run

    def submit(self, x: Any) -> Future[Any]:
        """`run(x)` later, together with what other threads submit: at most `max_batch` samples, `max_wait` seconds.

        Joined only where the batch axis is open and samples prove independent (three trial runs, the first time);
        results then equal those of single runs up to rounding. An error of one call is its own future's alone. What
        takes less than a quarter of a millisecond is run at once, by the caller: waiting would cost more.

        Raises:
            UsageError: the engine is closed, or was loaded before this process was forked.
        """
        self._require_open()
        try:
            if not self._runs_at_once:
                request = self._request(x)
                self._runs_at_once = request.samples != ALONE and (self._computation.seconds or 0) < _WORTH_JOINING
            if self._runs_at_once:
                return Finished(self.run(x))
        except CnncError as error:
            future: Future[Any] = Future()
            future.set_exception(error)
            return future
        return self._batcher.submit(request)

    def map(self, items: Iterable[Any], *, batch: int = 8) -> Iterator[Any]:
        """`run` of every item, in order: read ahead in a thread, run up to `batch` samples together.

        Args:
            items: what `run` takes, each with its batch axis.
            batch: samples of one run; which run together depends on the items alone.

        Raises:
            UsageError: `batch` is below 1; as `run`, in the item's place.
        """
        if batch < 1:
            raise UsageError(f"`batch` is {batch}: at least 1")
        self._require_open()
        return in_batches(self._request, self._computation.any, items, batch)

    def stream(self, state: Mapping[str, Any] | None = None) -> Stream:
        """A clip, frame by frame, through an artifact with states, which begin as `state`, or zeros; see `Stream`."""
        return Stream(self, self._checker, self._require_open, self._name, state)

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise UsageError(self._refusal)

    def _request(self, x: Any) -> Request:
        if type(x) is np.ndarray and (x.dtype, x.shape) == self._joined and x.flags.c_contiguous:
            if self._looks and not all_finite(x):
                self._checker.check_finite(self._first_input, x)
            return Request({self._first_input: x}, _unwrap, x.shape[0])
        call = self._checker.call(x)
        samples = None if call.on_device else batch_of(call.feed)
        if samples is None or not self._computation.is_samplewise(call.feed):
            samples = ALONE
        elif self._is_remembered and not call.gives_tensors:
            array = call.feed[self._first_input]
            self._joined = (array.dtype, array.shape)
        return Request(call.feed, functools.partial(call.finish, self._output_names), samples)

    def warmup(self, shapes: Any = None) -> None:
        """Run once on each shape, so that later runs of it start at full speed.

        Args:
            shapes: as for `load`; what was given there if None, or else the net's own shape at batch 1.

        Raises:
            UsageError: a shape does not fit, or the net's own has open axes besides the batch.
        """
        for named in read_shapes(shapes, self.inputs) or self._shapes or [smallest_shapes(self.inputs)]:
            self.run({spec.name: self._checker.neutral(spec, named[spec.name]) for spec in self.inputs})

    def close(self) -> None:
        """Finish what was submitted and free the session; the engine cannot run afterwards."""
        if self._refusal is None:
            self._batcher.close()
            self.retire("the engine is closed")
            live.remove(self)
        self.session = None
        if self._engines is not None:
            seal(self._engines)

    def retire(self, reason: str) -> None:
        """Refuse all calls from now on, with that reason."""
        self._refusal = reason
        self._computation.retire(reason)
        self._execute = self._computation.execute

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        inputs = ", ".join(f"{spec.name}: {spec.dtype}{spec}" for spec in self.inputs)
        outputs = ", ".join(f"{spec.name}: {spec.dtype}{spec}" for spec in self.outputs)
        return f"Engine({self._name!r}, {inputs} -> {outputs}, on {self.device})"


def _unwrap(results: Sequence[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


load = Engine
"""Open an artifact: `cnnc.load("net.onnx")`."""
