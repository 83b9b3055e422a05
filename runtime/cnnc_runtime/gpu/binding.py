"""Runs a session on a GPU through IO binding: buffers allocated once per shape, tensors taken and given in place."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from cnnc_runtime.providers import load_onnxruntime
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Binding", "Buffers"]

Array = NDArray[Any]
Shapes = tuple[tuple[int, ...], ...]

_REMEMBERED = 8  # shapes whose buffers are kept; the oldest goes
_LARGEST_TABLE = 4096  # shapes whose outputs' shapes are known


@dataclass
class Buffers:
    """Inputs (and, from the second run on, outputs) of one shape, at addresses that stay."""

    inputs: dict[str, Any]
    outputs: list[Any] | None = None


class Binding:
    """One session's inputs and outputs on its device.

    Args:
        session: an InferenceSession.
        inputs, outputs: what it takes and gives.
        device: `cuda`, or `cpu`, where the same calls work without a GPU.
        index: of the GPU.
    """

    def __init__(
        self, session: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], device: str, index: int
    ) -> None:
        self._session, self._device, self._index = session, device, index
        self._dtypes = {spec.name: spec.dtype for spec in inputs}
        self._outputs = outputs
        self._kept: OrderedDict[Shapes, Buffers] = OrderedDict()
        self._output_shapes: dict[Shapes, Shapes] = {}
        self.lock = threading.RLock()  # buffers serve one run at a time; so does the GPU

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Host arrays to host arrays: one copy to the device, one back, nothing allocated there after the first."""
        with self.lock:
            key = tuple(array.shape for array in feed.values())
            buffers = self._kept.get(key) or self.allocate({name: array.shape for name, array in feed.items()})
            for name, array in feed.items():
                buffers.inputs[name].update_inplace(array)
            self._kept[key] = buffers
            self._kept.move_to_end(key)
            while len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
            try:
                results = self.execute(buffers)
            except Exception:
                if buffers.outputs is None:
                    raise
                # Outputs' shapes may depend on values (NonZero): what fitted the last run need not fit this one.
                buffers.outputs = None
                results = self.execute(buffers)
            return self.to_host(results)

    def execute(self, buffers: Buffers, options: Any = None) -> list[Any]:
        """Run on what the input buffers hold; onnxruntime allocates the outputs the first time, and they stay."""
        binding = self._session.io_binding()
        for name, value in buffers.inputs.items():
            binding.bind_ortvalue_input(name, value)
        for index, spec in enumerate(self._outputs):
            if buffers.outputs is None:
                binding.bind_output(spec.name, self._device, self._index)
            else:
                binding.bind_ortvalue_output(spec.name, buffers.outputs[index])
        self._session.run_with_iobinding(binding, options)
        buffers.outputs = list(binding.get_outputs())
        return buffers.outputs

    def to_host(self, values: list[Any]) -> list[Array]:
        """Copies in host memory: the next run writes to the same buffers."""
        return [value.numpy().copy() if self._device == "cpu" else value.numpy() for value in values]

    def allocate(self, shapes: Mapping[str, tuple[int, ...]]) -> Buffers:
        """Input buffers on the device, not yet filled."""
        make = load_onnxruntime().OrtValue.ortvalue_from_shape_and_type
        return Buffers(
            {name: make(shape, self._dtypes[name], self._device, self._index) for name, shape in shapes.items()}
        )

    def run_tensors(self, feed: Mapping[str, Any]) -> list[Any]:
        """Tensors on the device to tensors on the device, without a copy.

        Outputs whose shape is known from an earlier run are allocated by PyTorch and written in place; the first
        time, onnxruntime allocates them and hands them over through DLPack.
        """
        key = tuple(tuple(tensor.shape) for tensor in feed.values())
        known = self._output_shapes.get(key)
        if known is not None:
            try:
                return self._run_tensors(feed, known)
            except Exception:  # as in run
                del self._output_shapes[key]
        results = self._run_tensors(feed, None)
        if len(self._output_shapes) < _LARGEST_TABLE:
            self._output_shapes[key] = tuple(tuple(result.shape) for result in results)
        return results

    def _run_tensors(self, feed: Mapping[str, Any], shapes: Shapes | None) -> list[Any]:
        torch = sys.modules["torch"]
        binding = self._session.io_binding()
        for name, tensor in feed.items():
            binding.bind_input(
                name, self._device, self._index, self._dtypes[name], tuple(tensor.shape), tensor.data_ptr()
            )
        like = next(iter(feed.values()))
        results: list[Any] = []
        for spec, shape in zip(self._outputs, shapes or [None] * len(self._outputs), strict=True):
            if shape is None:
                binding.bind_output(spec.name, self._device, self._index)
                continue
            result = torch.empty(shape, dtype=getattr(torch, str(spec.dtype)), device=like.device)
            binding.bind_output(spec.name, self._device, self._index, spec.dtype, shape, result.data_ptr())
            results.append(result)
        self._synchronize(torch, like)
        self._session.run_with_iobinding(binding)  # returns when the device has finished
        return results or [torch.from_dlpack(value) for value in binding.get_outputs()]

    def _synchronize(self, torch: Any, tensor: Any) -> None:
        """Wait for what PyTorch still has to write into the inputs: onnxruntime computes on a stream of its own."""
        if self._device == "cuda":
            torch.cuda.current_stream(tensor.device).synchronize()
