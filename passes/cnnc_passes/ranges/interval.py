"""Bounds (low, high), one pair per channel, and their arithmetic: rounded outwards, so that floats stay inside.

Sources: Moore, Interval Analysis (1966); for sums of n products, |fl(w.x) - w.x| <= g(n)*|w|.|x| in any order and
with fused multiply-adds, g(n) = n*u/(1 - n*u): Higham, Accuracy and Stability of Numerical Algorithms (2002), 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

__all__ = ["UNBOUNDED", "Interval", "hull", "product", "rounded", "rounded_after", "sum_error", "widened"]


class Interval(NamedTuple):
    """Of all finite numbers between `low` and `high`: float64 arrays, (C,), or (1,) for all channels alike."""

    low: np.ndarray
    high: np.ndarray

    @property
    def magnitude(self) -> np.ndarray:
        """The largest absolute value."""
        return np.asarray(np.maximum(np.abs(self.low), np.abs(self.high)))


UNBOUNDED = Interval(np.array([-np.inf]), np.array([np.inf]))

_ROUNDOFF = {ir.DataType.FLOAT: 2.0**-24, ir.DataType.FLOAT16: 2.0**-11, ir.DataType.DOUBLE: 2.0**-52}
_TINY = {ir.DataType.FLOAT: 2.0**-126, ir.DataType.FLOAT16: 2.0**-14, ir.DataType.DOUBLE: 2.0**-1022}
_NUMPY: dict[ir.DataType, np.dtype] = {
    ir.DataType.FLOAT: np.dtype("f4"),
    ir.DataType.FLOAT16: np.dtype("f2"),
    ir.DataType.DOUBLE: np.dtype("f8"),
}


def rounded(bounds: Interval, dtype: ir.DataType | None) -> Interval:
    """After one correctly rounded operation in `dtype`: the next floats outwards."""
    kind = _NUMPY.get(dtype) if dtype is not None else None
    if kind is None:
        return UNBOUNDED
    with np.errstate(over="ignore"):
        low = np.nextafter(bounds.low.astype(kind), kind.type(-np.inf)).astype(np.float64)
        high = np.nextafter(bounds.high.astype(kind), kind.type(np.inf)).astype(np.float64)
    return widened(Interval(low, high), 0.0, dtype)


def rounded_after(bounds: Interval, magnitude: np.ndarray, count: float, dtype: ir.DataType | None) -> Interval:
    """After a sum of `count` terms whose absolute values sum to at most `magnitude`, in any order."""
    return rounded(widened(bounds, sum_error(magnitude, count, dtype), dtype), dtype)


def sum_error(magnitude: np.ndarray, count: float, dtype: ir.DataType | None) -> np.ndarray:
    """g(count) * magnitude; infinite where count*u reaches 1."""
    unit = count * _ROUNDOFF[dtype] if dtype in _ROUNDOFF else 1.0
    if unit >= 1:
        return np.where(magnitude == 0, 0.0, np.inf)
    return np.asarray(unit / (1 - unit) * magnitude + count * _TINY[dtype or ir.DataType.FLOAT])


def widened(bounds: Interval, by: np.ndarray | float, dtype: ir.DataType | None) -> Interval:
    """`by` further on both sides, and by what an engine that flushes subnormals to zero may lose."""
    tiny = _TINY.get(dtype, np.inf) if dtype is not None else np.inf
    low, high = bounds.low - by, bounds.high + by
    return Interval(np.where(abs(low) <= tiny, low - tiny, low), np.where(abs(high) <= tiny, high + tiny, high))


def hull(intervals: Sequence[Interval]) -> Interval:
    """The least interval, channel by channel, that holds all of them."""
    lows, highs = zip(*intervals, strict=True)
    return Interval(np.minimum.reduce(np.broadcast_arrays(*lows)), np.maximum.reduce(np.broadcast_arrays(*highs)))


def product(a: Interval, b: Interval) -> Interval:
    """The product before rounding; 0 times an open end is 0, as numbers are finite."""
    with np.errstate(invalid="ignore"):
        corners = [np.nan_to_num(x * y, nan=0.0, posinf=np.inf, neginf=-np.inf) for x in a for y in b]
    return Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))
