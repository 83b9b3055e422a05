"""Resize and Upsample, axis by axis: every output position is a weighted sum of a few taps of the input.

Where a position falls is float64, but for nearest: which pixel is taken jumps with the last bit, so it is
computed in float32, as the engine's graph defines it. Coordinates and weights are those of ONNX's Resize.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnc.verify.reference.operator import Operator
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["OPERATORS", "cubic_kernel"]


@dataclasses.dataclass(frozen=True)
class _Axis:
    """One axis to resize. `scale` is out/size where sizes are given."""

    size: int
    out: int
    scale: float
    roi: tuple[float, float]


class Resize(Operator):
    """The operator of opsets 10 to the newest; `Upsample` is its opset-10 form."""

    def _run(self, x: np.ndarray, *inputs: np.ndarray | None, **attributes: Any) -> tuple[np.ndarray]:
        if self.opset < 11:
            defaults = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}
            return (_resize(x, None, inputs[0], None, **{**defaults, **attributes}),)
        roi, scales, sizes = (*inputs, None, None, None)[:3]
        return (_resize(x, roi, scales, sizes, **attributes),)


class Upsample(Operator):
    """Opsets 7 to 9: the scales are an attribute, then an input."""

    def _run(self, x: np.ndarray, scales: Any = None, mode: str = "nearest") -> tuple[np.ndarray]:
        return (_resize(x, None, np.asarray(scales), None, mode, "asymmetric", "simple"),)


def _resize(
    x: np.ndarray,
    roi: np.ndarray | None,
    scales: np.ndarray | None,
    sizes: np.ndarray | None,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    *,
    axes: Sequence[int] | None = None,
    antialias: int = 0,
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
) -> np.ndarray:
    places = [axis % x.ndim for axis in (range(x.ndim) if axes is None else axes)]
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    shapes = _axes(
        [x.shape[place] for place in places], roi if crops else None, scales, sizes, keep_aspect_ratio_policy
    )
    kernel = _KERNELS.get(mode)
    for place, axis in zip(places, shapes, strict=True):
        if axis.out == axis.size and axis.scale == 1 and not crops:
            continue
        at = _coordinates(axis, coordinate_transformation_mode, np.float64 if kernel else np.float32)
        if kernel is None:
            nearest = _ROUNDINGS[nearest_mode](at, axis.scale).astype(np.int64)
            y = x.take(nearest.clip(0, axis.size - 1), place)
        else:
            taps, weights = _taps(at, axis, kernel, bool(antialias), float(cubic_coeff_a))
            if exclude_outside and (antialias or mode == "cubic"):
                weights *= (taps >= 0) & (taps < axis.size)
                weights /= weights.sum(axis=1, keepdims=True)
            y = _weighted(x, taps.clip(0, axis.size - 1), weights, place)
        if crops:
            outside = (at < 0) | (at > axis.size - 1)
            y[(slice(None),) * place + (outside,)] = extrapolation_value
        x = y
    return x


def _axes(
    shape: Sequence[int], roi: np.ndarray | None, scales: np.ndarray | None, sizes: np.ndarray | None, policy: str
) -> list[_Axis]:
    count = len(shape)
    crops = [(0.0, 1.0)] * count if roi is None else [(roi[i], roi[i + count]) for i in range(count)]
    if scales is not None and scales.size:
        # Scales are float32, and so is their product with the size: 10 * 0.7 is 7, not 6.9999998.
        narrow = [np.float32(scale) for scale in scales]
        outs = [int(scale * np.float32(size)) for scale, size in zip(narrow, shape, strict=True)]
        factors = [float(scale) for scale in narrow]
    elif sizes is not None:
        outs = [int(size) for size in sizes]
        factors = [out / size for out, size in zip(outs, shape, strict=True)]
        if policy != "stretch":
            factors = [(min if policy == "not_larger" else max)(factors)] * count
            outs = [math.floor(np.float32(factors[0]) * np.float32(size) + np.float32(0.5)) for size in shape]
    else:
        raise UnsupportedModelError("Resize without scales and sizes")
    return [_Axis(*fields) for fields in zip(shape, outs, factors, crops, strict=True)]


def _coordinates(axis: _Axis, mode: str, dtype: type[np.floating[Any]]) -> np.ndarray:
    """Where each output position falls in the input, (out,): every step of it in `dtype`."""
    o: np.ndarray = np.arange(axis.out, dtype=dtype)
    scale, last, gaps, half = dtype(axis.scale), dtype(axis.size - 1), dtype(axis.out - 1), dtype(0.5)
    at: np.ndarray = (o + half) / scale
    if mode == "asymmetric":
        at = o / scale
    elif mode == "align_corners":
        at = o * last / gaps if axis.out > 1 else o
    elif mode == "tf_crop_and_resize":
        start, end = map(dtype, axis.roi)
        at = start * last + o * (end - start) * last / gaps if axis.out > 1 else o + half * (start + end) * last
    elif mode == "half_pixel_symmetric":
        size = dtype(axis.size)
        offset = half * size * (1 - dtype(axis.out) / (scale * size))
        at = (float(offset) + (o + half).astype(np.float64) / float(scale) - 0.5).astype(dtype)
    elif mode == "pytorch_half_pixel" and axis.out == 1:
        at = o
    elif mode != "tf_half_pixel_for_nn":
        at = at - half
    return at


def _taps(
    at: np.ndarray, axis: _Axis, kernel: tuple[int, Callable[..., np.ndarray]], antialias: bool, a: float
) -> tuple[np.ndarray, np.ndarray]:
    """The input positions under the interpolation kernel and their weights, (out, taps) each.

    Antialiasing stretches the kernel over 1/scale positions where the axis shrinks.
    """
    radius, weigh = kernel
    stretch = min(axis.scale, 1.0) if antialias else 1.0
    first = np.floor(at - radius / stretch).astype(np.int64) + 1
    taps = first[:, None] + np.arange(math.ceil(2 * radius / stretch))
    weights = weigh(np.abs(taps - at[:, None]) * stretch, a)
    return taps, weights / weights.sum(axis=1, keepdims=True)


def _weighted(x: np.ndarray, taps: np.ndarray, weights: np.ndarray, place: int) -> np.ndarray:
    shape = (-1, *(1,) * (x.ndim - 1 - place))
    y: np.ndarray = x.take(taps[:, 0], place) * weights[:, 0].reshape(shape)
    for tap, weight in zip(taps.T[1:], weights.T[1:], strict=True):
        y += x.take(tap, place) * weight.reshape(shape)
    return y


def _linear(distance: np.ndarray, a: float) -> np.ndarray:
    return np.maximum(1.0 - distance, 0.0)


def cubic_kernel(d: np.ndarray, a: float) -> np.ndarray:
    """The weight of a neighbor at distance d, 0 from 2 on.

    Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981; `a` is his -1/2.
    """
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


_TIE = 1e-6  # what onnxruntime takes for half way between two pixels

_KERNELS: dict[str, tuple[int, Callable[..., np.ndarray]]] = {
    "linear": (1, _linear),
    "bilinear": (1, _linear),
    "cubic": (2, cubic_kernel),
}

_ROUNDINGS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "simple": lambda at, scale: np.ceil(at) if scale < 1 else np.trunc(at),
    "round_prefer_floor": lambda at, scale: np.ceil(at.astype(np.float64) - 0.5 - _TIE),
    "round_prefer_ceil": lambda at, scale: np.floor(at.astype(np.float64) + 0.5 + _TIE),
    "floor": lambda at, scale: np.floor(at),
    "ceil": lambda at, scale: np.ceil(at),
}

OPERATORS = (Resize, Upsample)
