"""Elementwise operators and those that move data, where onnx's own are wrong, imprecise or refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from cnnc.verify.reference.operator import Operator
from cnnc.verify.reference.windows import padded

__all__ = ["OPERATORS"]

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


class Cast(Operator):
    """To any floating type is to float64."""

    def _run(self, x: np.ndarray, to: int, **_: Any) -> tuple[np.ndarray]:
        dtype = np.float64 if to in _FLOATS else onnx.helper.tensor_dtype_to_np_dtype(to)
        return (x.astype(dtype),)


class Softmax(Operator):
    """exp(x) / sum(exp(x)) along one axis; before opset 13 over all axes from `axis` on."""

    def _run(self, x: np.ndarray, axis: int | None = None) -> tuple[np.ndarray]:
        shifted, over = self._shifted(x, axis)
        y = np.exp(shifted)
        return (y / y.sum(axis=over, keepdims=True),)

    def _shifted(self, x: np.ndarray, axis: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
        if self.opset < 13:
            first = (1 if axis is None else axis) % x.ndim
            over = tuple(range(first, x.ndim))
        else:
            over = ((-1 if axis is None else axis) % x.ndim,)
        return x - x.max(axis=over, keepdims=True, initial=-np.inf), over


class LogSoftmax(Softmax):
    """The logarithm of Softmax."""

    def _run(self, x: np.ndarray, axis: int | None = None) -> tuple[np.ndarray]:
        shifted, over = self._shifted(x, axis)
        return (shifted - np.log(np.exp(shifted).sum(axis=over, keepdims=True)),)


class Hardmax(Softmax):
    """1 at the first maximum, 0 elsewhere."""

    def _run(self, x: np.ndarray, axis: int | None = None) -> tuple[np.ndarray]:
        _, over = self._shifted(x, axis)
        rows = np.moveaxis(x, over, range(-len(over), 0))
        flat = rows.reshape(*rows.shape[: -len(over)], -1)
        first = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
        return (np.moveaxis(first.reshape(rows.shape), range(-len(over), 0), over).astype(x.dtype),)


class Erf(Operator):
    """The error function."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (_erf(x),)


class Gelu(Operator):
    """x * Phi(x), Phi the normal distribution function, or its approximation by tanh."""

    def _run(self, x: np.ndarray, approximate: str = "none") -> tuple[np.ndarray]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (0.5 * x * (1 + _erf(x / math.sqrt(2))),)


class HardSwish(Operator):
    """x * clip(x/6 + 1/2, 0, 1): with 1/6 exact, not the float32 of onnx's function."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x * np.clip(x / 6 + 0.5, 0, 1),)


class Mish(Operator):
    """x * tanh(softplus(x))."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x * np.tanh(np.logaddexp(0, x)),)


class Pad(Operator):
    """Negative pads crop, then the others extend; as attributes before opset 11, as inputs since."""

    def _run(
        self,
        x: np.ndarray,
        pads: Any = None,
        value: Any = None,
        axes: np.ndarray | None = None,
        mode: Any = "constant",
    ) -> tuple[np.ndarray]:
        places = [int(axis) % x.ndim for axis in (range(x.ndim) if axes is None else axes)]
        margins = [(0, 0)] * x.ndim
        for i, place in enumerate(places):
            margins[place] = (int(pads[i]), int(pads[i + len(places)]))
        if mode == "constant":
            return (padded(x, margins, np.asarray(0 if value is None else value, x.dtype).reshape(())),)
        cropped = padded(x, [(min(begin, 0), min(end, 0)) for begin, end in margins])
        return (np.pad(cropped, [(max(begin, 0), max(end, 0)) for begin, end in margins], mode=mode),)


class DepthToSpace(Operator):
    """Blocks of channels become blocks of pixels: (N, C*b*b, H, W) -> (N, C, H*b, W*b)."""

    def _run(self, x: np.ndarray, blocksize: int, mode: str = "DCR") -> tuple[np.ndarray]:
        n, c, h, w = x.shape
        depth = c // blocksize**2
        if mode == "DCR":
            y = x.reshape(n, blocksize, blocksize, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(n, depth, blocksize, blocksize, h, w).transpose(0, 1, 4, 2, 5, 3)
        return (y.reshape(n, depth, h * blocksize, w * blocksize),)


class OneHot(Operator):
    """A new axis of `depth`, with values[1] where the index says and values[0] elsewhere."""

    def _run(self, indices: np.ndarray, depth: np.ndarray, values: np.ndarray, axis: int = -1) -> tuple[np.ndarray]:
        count = int(depth.reshape(()))
        wanted = np.where(indices < 0, indices + count, indices)
        hot = wanted[..., None] == np.arange(count)
        return (np.where(np.moveaxis(hot, -1, axis), values[1], values[0]),)


class DequantizeLinear(Operator):
    """(x - zero_point) * scale: per tensor, per slice of `axis`, or per block of it."""

    def _run(
        self,
        x: np.ndarray,
        scale: np.ndarray,
        zero_point: np.ndarray | None = None,
        axis: int = 1,
        block_size: int = 0,
        output_dtype: int = 0,
    ) -> tuple[np.ndarray]:
        zero = np.zeros(scale.shape) if zero_point is None else zero_point.astype(np.float64)
        if block_size:
            scale, zero = (p.repeat(block_size, axis).take(np.arange(x.shape[axis]), axis) for p in (scale, zero))
        elif scale.size > 1:
            shape = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return ((x.astype(np.float64) - zero) * scale,)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.fromiter(map(math.erf, x.ravel()), np.float64, x.size).reshape(x.shape)  # NumPy has none


OPERATORS = (
    Cast,
    DepthToSpace,
    DequantizeLinear,
    Erf,
    Gelu,
    HardSwish,
    Hardmax,
    LogSoftmax,
    Mish,
    OneHot,
    Pad,
    Softmax,
)
