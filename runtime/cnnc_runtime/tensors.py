"""One input or output of a network: its name, type and shape, and whether an array fits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError

__all__ = ["TensorSpec"]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's `name`, `dtype` and `shape`: a dimension is an int if fixed, else its name or "?".

    `least` says how long each must be at least, where a network takes any length but not the shortest.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]
    least: tuple[int, ...] = ()

    @classmethod
    def of(cls, arg: Any) -> TensorSpec:
        """From onnxruntime's NodeArg.

        Raises:
            UnsupportedModelError: a sequence, an optional, strings, or a type numpy lacks.
            InvalidInputError: a dimension is negative.
        """
        if arg.type not in _DTYPES:
            raise UnsupportedModelError(f"{arg.name!r} is a {arg.type}: only tensors of numbers can be run")
        shape = tuple("?" if dim is None else dim for dim in arg.shape)
        if any(isinstance(dim, int) and dim < 0 for dim in shape):
            raise InvalidInputError(f"{arg.name!r} declares the impossible shape {shape}")
        return cls(arg.name, np.dtype(_DTYPES[arg.type]), shape)

    @property
    def sample(self) -> TensorSpec:
        """The same tensor without its batch axis."""
        return TensorSpec(self.name, self.dtype, self.shape[1:], self.least[1:])

    def check(self, array: NDArray[Any]) -> None:
        """Whether the array's dtype and shape fit; its values are not looked at.

        Raises:
            InvalidInputError: the dtype cannot be converted without loss, or the shape does not fit.
        """
        self.check_form(array.dtype, array.shape)

    def check_form(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """`check` for what is no numpy array."""
        if dtype != self.dtype and not np.can_cast(dtype, self.dtype, "safe"):
            raise InvalidInputError(
                f"input {self.name!r} expects {self.dtype}, which cannot hold every {dtype} exactly: "
                f'convert it yourself with .astype("{self.dtype}")'
            )
        fits = len(shape) == len(self.shape) and all(
            isinstance(want, str) or want == got for want, got in zip(self.shape, shape, strict=True)
        )
        if not fits:
            raise InvalidInputError(f"input {self.name!r} expects shape {self}, got {_dims(shape)}")
        if 0 in shape:
            raise InvalidInputError(f"input {self.name!r} is empty: shape {_dims(shape)}")
        if self.least and any(got < need for got, need in zip(shape, self.least, strict=True)):
            raise InvalidInputError(f"input {self.name!r} expects at least {_dims(self.least)}, got {_dims(shape)}")

    def conform(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array as onnxruntime needs it; a copy only where it is not so already.

        That is this dtype, C-contiguous, and in native byte order: onnxruntime would read big-endian bytes as
        if they were native.

        Raises:
            InvalidInputError: as `check`.
        """
        self.check(array)
        return np.asarray(array, dtype=self.dtype, order="C")

    def __str__(self) -> str:
        return _dims(self.shape)


def _dims(shape: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"
