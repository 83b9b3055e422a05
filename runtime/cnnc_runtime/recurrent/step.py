"""One run of a step function: a frame and the states where they lie in, results out, the next states beside them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cnnc_runtime.feeds import Call
from cnnc_runtime.providers import load_onnxruntime
from cnnc_runtime.recurrent.state_buffers import StateBuffers
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Step"]


class Step:
    """Binds what one stream's steps read and write.

    Args:
        frames: the inputs that are no states.
        outputs: all outputs of the graph.
        pairs: state -> the output that is its next value.
        states: of the graph's inputs, those that are states.
        device: `cpu`, `cuda:0` or `tensorrt:0`, as the engine has it.

    Attributes:
        buffers: the states.
        results: names of the outputs that are no states, in order.
    """

    def __init__(
        self,
        frames: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        pairs: Mapping[str, str],
        states: Sequence[TensorSpec],
        device: str,
    ) -> None:
        kind, _, index = device.partition(":")
        self._on_host = kind == "cpu"
        self._place = ("cpu", 0) if self._on_host else ("cuda", int(index or 0))
        self._dtypes = {spec.name: spec.dtype for spec in frames}
        self._outputs = [spec.name for spec in outputs]
        self._frames: dict[str, Any] = {}
        self.buffers = StateBuffers(states, pairs, *self._place)
        self.results = [name for name in self._outputs if name not in pairs.values()]

    def run(self, session: Any, call: Call) -> list[Any]:
        """The results of a frame; the next states are in the buffers that a swap makes the state.

        Raises what onnxruntime raises; the state is as before then.
        """
        binding = session.io_binding()
        for name, value in call.feed.items():
            if call.on_device:
                shape = tuple(value.shape)
                binding.bind_input(name, *self._place, self._dtypes[name], shape, value.data_ptr())
            elif self._on_host:
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, self._copied(name, value))
        self.buffers.bind_inputs(binding)
        for name in self._outputs:
            if not self.buffers.bind_output(binding, name):
                binding.bind_output(name, *(self._place if call.on_device else ("cpu", 0)))
        if call.on_device:  # what PyTorch still has to write into the frame: onnxruntime has a stream of its own
            torch = sys.modules["torch"]
            torch.cuda.current_stream(next(iter(call.feed.values())).device).synchronize()
        session.run_with_iobinding(binding)  # returns when the device has finished
        values = dict(zip(self._outputs, binding.get_outputs(), strict=True))
        if call.on_device:
            return [sys.modules["torch"].from_dlpack(values[name]) for name in self.results]
        return [values[name].numpy() for name in self.results]  # allocated for this frame: handed over, not copied

    def free(self) -> None:
        """Let go of all buffers."""
        self.buffers.free()
        self._frames.clear()

    def _copied(self, name: str, array: NDArray[Any]) -> Any:
        """A frame on the device, in a buffer that stays while its shape does."""
        kept = self._frames.get(name)
        if kept is None or tuple(kept.shape()) != array.shape:
            make = load_onnxruntime().OrtValue.ortvalue_from_shape_and_type
            kept = self._frames[name] = make(array.shape, self._dtypes[name], *self._place)
        kept.update_inplace(array)
        return kept
