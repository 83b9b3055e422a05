"""Checks what a caller passes, once, and remembers in which form the outputs are to go back."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.tensors import TensorSpec
from cnnc_runtime.torch_tensors import conform_on_device, device_of, is_tensor, to_array, to_tensor, widened

__all__ = ["Call", "Checker", "all_finite"]

Array = NDArray[Any]


# Above this OpenBLAS spreads a dot product over threads, which would compete with onnxruntime's.
_SMALL = 8192


def all_finite(array: Array) -> bool:
    """Whether a floating-point array holds neither NaN nor infinity.

    The sum of squares is finite only if every value is; of a small array it takes half a microsecond. Where it is
    not finite, squares may just have overflowed, so every value is looked at.
    """
    if array.size <= _SMALL and array.itemsize > 2 and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.logical_and.reduce(np.isfinite(array), axis=None))


@dataclass(frozen=True)
class Call:
    """One call of an engine.

    Attributes:
        feed: {input name: array that onnxruntime takes as it is}; tensors, for a call with tensors on a GPU.
        by_name: whether the outputs go back as a dict.
        gives_tensors: whether they go back as PyTorch tensors.
        on_device: whether the inputs are on the engine's GPU, and the outputs stay there.
    """

    feed: dict[str, Any]
    by_name: bool
    gives_tensors: bool = False
    on_device: bool = False

    def finish(self, names: Sequence[str], results: Sequence[Any]) -> Any:
        """The outputs in the form of the inputs."""
        if self.gives_tensors and not self.on_device:
            results = [to_tensor(result) for result in results]
        if self.by_name:
            return dict(zip(names, results, strict=True))
        return results[0] if len(results) == 1 else tuple(results)


class Checker:
    """Checks inputs against what the net takes.

    Args:
        inputs: what it takes.
        ranges: the values that inputs may take, (lowest, highest) by name, where it was compiled for a range.
        allow_nonfinite: whether NaN and infinity are inputs like others.
        device: where the engine is, as `cuda:0`.
        name: what messages call the model.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        ranges: Mapping[str, tuple[float, float]],
        allow_nonfinite: bool,
        device: str,
        name: str,
    ) -> None:
        self._specs = {spec.name: spec for spec in inputs}
        self._ranges, self._device, self._name = ranges, device, name
        self.finite = frozenset(
            spec.name for spec in inputs if not allow_nonfinite and spec.dtype.kind == "f" and spec.name not in ranges
        )

    def call(self, x: Any) -> Call:
        """What `x` asks for.

        Raises:
            InvalidInputError: names the input, what came and what is expected.
        """
        by_name = isinstance(x, Mapping)
        values = x if by_name else {next(iter(self._specs)): x}
        if not by_name and len(self._specs) > 1:
            raise InvalidInputError(f"the net takes the inputs {list(self._specs)}: pass a dict of them")
        if values.keys() != self._specs.keys():
            raise InvalidInputError(f"the net takes the inputs {list(self._specs)}, got {list(values)}")
        places = {name: device_of(value) for name, value in values.items() if is_tensor(value)}
        if any(place != "cpu" for place in places.values()):
            return self._device_call(values, places, by_name)
        feed = {name: spec.conform(_as_array(values[name], name)) for name, spec in self._specs.items()}
        for name, array in feed.items():
            if name in self.finite:
                self.check_finite(name, array)
            elif name in self._ranges:
                self._check_range(name, array)
        return Call(feed, by_name, gives_tensors=bool(places))

    def only(self, names: Sequence[str]) -> Checker:
        """The same checks for these inputs alone."""
        checker = copy.copy(self)
        checker._specs = {name: self._specs[name] for name in names}
        return checker

    def _device_call(self, values: Mapping[str, Any], places: Mapping[str, str], by_name: bool) -> Call:
        """A call with tensors on a GPU. Their values are not looked at: that would bring them to the host.

        Except one number a sample that has a range, as the class of a heat map: that is next to nothing to copy, and
        kernels on a GPU do not check what they index with.
        """
        device = self._device.replace("tensorrt", "cuda")
        for name in self._specs:
            if (place := places.get(name, "host memory")) != device:
                raise InvalidInputError(
                    f"input {name!r} is on {place}, the engine on {self._device}: move it there (x.to({device!r})), "
                    f"or pass all inputs in host memory"
                )
        if any(name in self._ranges and len(spec.shape) > 1 for name, spec in self._specs.items()):
            raise InvalidInputError(
                f"{self._name} was compiled for a range of values (--input-range), which is checked in host memory: "
                "pass x.cpu()"
            )
        feed = {name: conform_on_device(spec, values[name]) for name, spec in self._specs.items()}
        for name in self._ranges.keys() & feed.keys():
            self._check_range(name, to_array(feed[name]))
        return Call(feed, by_name, gives_tensors=True, on_device=True)

    def check_finite(self, name: str, array: Array) -> None:
        """Nothing, if the array holds neither NaN nor infinity.

        Raises:
            InvalidInputError: it does; counts them.
        """
        if not all_finite(array):
            nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
            raise InvalidInputError(
                f"input {name!r} holds {nan} NaN and {infinite} infinite values of {array.size}: "
                "clean it, or load with allow_nonfinite=True"
            )

    def neutral(self, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
        """An array that passes: zeros, or the lowest value of a declared range."""
        low, _ = self._ranges.get(spec.name, (0.0, 0.0))
        return np.full(shape, low, spec.dtype)

    def _check_range(self, name: str, array: Array) -> None:
        """The artifact was compiled and proved for a declared range only."""
        low, high = self._ranges[name]
        smallest, largest = array.min(), array.max()
        if not (low <= smallest and largest <= high):  # NaN is outside too
            option = " (--input-range)" * (array.dtype.kind == "f")
            raise InvalidInputError(
                f"input {name!r} holds values from {smallest:g} to {largest:g}: {self._name} was compiled for "
                f"{low:g} to {high:g}{option}"
            )


def _as_array(value: Any, name: str) -> Array:
    if isinstance(value, np.ndarray):
        return value
    try:
        if is_tensor(value):
            shared: Array = widened(value).numpy()  # the tensor's own memory
            return shared
        if hasattr(value, "__array__"):
            return np.asarray(value)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
    except Exception as error:  # torch: RuntimeError for a tensor with a gradient
        raise InvalidInputError(f"input {name!r} cannot be read as an array: {error}") from error
    raise InvalidInputError(f"input {name!r} expects an array, got {type(value).__name__}")
