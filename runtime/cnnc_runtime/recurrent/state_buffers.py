"""The states of a stream on its device: two buffers each, one to read and one to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.providers import load_onnxruntime
from cnnc_runtime.tensors import TensorSpec

__all__ = ["StateBuffers"]

Array = NDArray[Any]


class StateBuffers:
    """Two OrtValues for each state: a step reads one and writes the other, and a swap makes that the state.

    Nothing is allocated while the shapes stay, and nothing comes to the host unless it is asked for.

    Args:
        states: name, dtype and shape of each.
        outputs: by state, the output that is its next value.
        device, index: where they are, as onnxruntime calls it: `cpu` or `cuda`, and which.

    Attributes:
        shapes: of the buffers, by state; empty before `fit`.
    """

    def __init__(self, states: Sequence[TensorSpec], outputs: Mapping[str, str], device: str, index: int) -> None:
        self._states, self._device, self._index = states, device, index
        self._of_output = {outputs[spec.name]: spec.name for spec in states}
        self._current: dict[str, Any] = {}
        self._next: dict[str, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def fit(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Make room for states of these shapes, unless there is already; raises what onnxruntime raises."""
        if shapes == self.shapes:
            return
        self.free()
        make = load_onnxruntime().OrtValue.ortvalue_from_shape_and_type
        for spec in self._states:
            for buffers in (self._current, self._next):
                buffers[spec.name] = make(shapes[spec.name], spec.dtype, self._device, self._index)
        self.shapes = dict(shapes)

    def fill(self, values: Mapping[str, Array] | None) -> None:
        """Set the states: to zeros if None."""
        for spec in self._states:
            value = np.zeros(self.shapes[spec.name], spec.dtype) if values is None else values[spec.name]
            self._current[spec.name].update_inplace(value)

    def bind_inputs(self, binding: Any) -> None:
        """Let a run read the states."""
        for name, value in self._current.items():
            binding.bind_ortvalue_input(name, value)

    def bind_output(self, binding: Any, output: str) -> bool:
        """Let a run write the next value of a state; False if the output is of none."""
        if output not in self._of_output:
            return False
        binding.bind_ortvalue_output(output, self._next[self._of_output[output]])
        return True

    def swap(self) -> None:
        """What was written is the state; what was read is written next."""
        self._current, self._next = self._next, self._current

    def to_host(self) -> dict[str, Array]:
        """Copies of the states."""
        return {name: np.array(value.numpy()) for name, value in self._current.items()}

    def free(self) -> None:
        """Let go of the buffers."""
        self._current, self._next, self.shapes = {}, {}, {}
