"""The engine: an artifact on a device, called with arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import CnncError, DeviceError, InvalidInputError, UsageError
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.preflight import check_model_bytes, check_model_file
from cnnc_runtime.providers import CPU, Device, parse_device
from cnnc_runtime.session import Optimization, model_error, open_session
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Array", "Engine", "load"]

Array = NDArray[Any]


class Engine:
    """Runs one artifact on one device.

    Args:
        model: a path to an .onnx file, or the serialized model.
        device: `auto`, `cpu`, `cuda`, `cuda:N`, `tensorrt` or `tensorrt:N`.
        threads: CPU threads of one run; onnxruntime's choice (the physical cores) if None.
        optimization: onnxruntime's own graph optimization.
        name: what messages call the model; its path if None.

    Attributes:
        inputs, outputs: a `TensorSpec` each.
        device: where it runs, `cpu` or `cuda:0`.
        provider: the onnxruntime provider in use, as the session reports it.
        metadata: what cnnc wrote into the artifact; None for an ONNX file of another tool.
        session: the onnxruntime session itself.

    Raises:
        DeviceError: the device asked for cannot be used.
        InvalidInputError, UnsafeInputError, UnsupportedModelError, ResourceLimitError: the model cannot be.
        UsageError: an option is not understood.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        device: str = "auto",
        threads: int | None = None,
        optimization: Optimization = "all",
        name: str | None = None,
    ) -> None:
        wanted = parse_device(device)
        if isinstance(model, bytes):
            self._name = name or "the model"
            check_model_bytes(model[:64])
        else:
            model = os.fspath(model)
            self._name = name or model
            check_model_file(model)
        if wanted is not None and wanted.kind == "tensorrt":
            _refuse_fused(model, self._name, wanted)
        self.session, on = open_session(model, self._name, wanted, threads, optimization)
        self.device = str(on)
        self.provider: str = self.session.get_providers()[0]
        try:
            self.inputs = tuple(TensorSpec.of(arg) for arg in self.session.get_inputs())
            self.outputs = tuple(TensorSpec.of(arg) for arg in self.session.get_outputs())
            self.metadata = Metadata.from_props(self.session.get_modelmeta().custom_metadata_map)
        except CnncError as error:
            raise type(error)(f"{self._name}: {error}") from error
        if not self.inputs or not self.outputs:
            raise InvalidInputError(f"{self._name} has no {'outputs' if self.inputs else 'inputs'}: nothing to run")
        self._ranges = self.metadata.input_ranges if self.metadata is not None else {}
        self._specs = {spec.name: spec for spec in self.inputs}
        self._output_names = [spec.name for spec in self.outputs]
        self._execute: Callable[[list[str], dict[str, Array]], list[Array]] = self.session.run
        # The fast path of run(): the dtype and shape of a net's only input, as _checked() accepted them last.
        self._accepted: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._first_input = self.inputs[0].name

    @overload
    def run(self, x: Mapping[str, Any]) -> dict[str, Array]: ...
    @overload
    def run(self, x: Any) -> Any: ...

    def run(self, x: Any) -> Any:
        """Compute the outputs of `x`.

        Args:
            x: the array for a net's only input, or {input name: array}; batch first. Whatever numpy can read
                through `__array__` (a CPU torch tensor) counts as an array.

        Returns:
            For an array: the output array, or a tuple of them. For a dict: {output name: array}.

        Raises:
            InvalidInputError: a name, dtype or dimension does not fit, or the net fails on these values.
            ResourceLimitError: memory ran out.
            DeviceError: the GPU failed.
        """
        if type(x) is np.ndarray and (x.dtype, x.shape) == self._accepted and x.flags.c_contiguous:
            feed, by_name = {self._first_input: x}, False
        else:
            feed, by_name = self._checked(x), isinstance(x, Mapping)
        try:
            results = self._execute(self._output_names, feed)
        except CnncError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise model_error(self._name, error) from error
        if by_name:
            return dict(zip(self._output_names, results, strict=True))
        return results[0] if len(results) == 1 else tuple(results)

    __call__ = run

    def _checked(self, x: Any) -> dict[str, Array]:
        """{input name: array that onnxruntime takes as it is}, or the error that says which does not fit."""
        if isinstance(x, Mapping):
            if x.keys() != self._specs.keys():
                raise InvalidInputError(f"the net takes the inputs {list(self._specs)}, got {list(x)}")
            arrays = {name: spec.conform(_as_array(x[name], name)) for name, spec in self._specs.items()}
            return self._inside_ranges(arrays)
        if len(self.inputs) > 1:
            raise InvalidInputError(f"the net takes the inputs {list(self._specs)}: pass a dict of them")
        array = self.inputs[0].conform(_as_array(x, self._first_input))
        if self._ranges:  # the values have to be looked at every time
            return self._inside_ranges({self._first_input: array})
        self._accepted = (array.dtype, array.shape)
        return {self._first_input: array}

    def _inside_ranges(self, feed: dict[str, Array]) -> dict[str, Array]:
        """The feed, or InvalidInputError: the artifact was compiled and proved for a declared range only."""
        for name, (low, high) in self._ranges.items():
            smallest, largest = feed[name].min(), feed[name].max()
            if not (low <= smallest and largest <= high):  # NaN is outside too
                raise InvalidInputError(
                    f"input {name!r} holds values from {smallest:g} to {largest:g}: {self._name} was compiled for "
                    f"{low:g} to {high:g} (--input-range)"
                )
        return feed

    def close(self) -> None:
        """Free the session; the engine cannot run afterwards."""
        self.session = None
        self._execute = _closed

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


def load(
    model: str | os.PathLike[str] | bytes,
    *,
    device: str = "auto",
    threads: int | None = None,
    optimization: Optimization = "all",
) -> Engine:
    """Open an artifact: `Engine(model, ...)`."""
    return Engine(model, device=device, threads=threads, optimization=optimization)


def _as_array(value: Any, name: str) -> Array:
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "__array__"):
        raise InvalidInputError(f"input {name!r} expects an array, got {type(value).__name__}")
    try:
        return np.asarray(value)
    except Exception as error:  # torch: TypeError for a CUDA tensor, RuntimeError for one with a gradient
        raise InvalidInputError(f"input {name!r} cannot be read as an array: {error}") from error


def _closed(output_names: list[str], feed: dict[str, Array]) -> list[Array]:
    raise UsageError("the engine is closed")


def _refuse_fused(model: str | bytes, name: str, device: Device) -> None:
    """TensorRT's parser has no FusedConv: an artifact lowered for onnxruntime's own kernels is not for it."""
    session, _ = open_session(model, name, CPU, threads=1, optimization="off")
    metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
    if metadata is not None and metadata.target in ("onnxruntime", "cpu"):
        raise DeviceError(f"{name} is fused for onnxruntime, not for {device}: compile with --target portable")
