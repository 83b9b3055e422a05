"""Pooling by whole tensors: one elementwise operation per tap, axis by axis where the reduction allows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from cnnc.verify.reference.operator import Operator
from cnnc.verify.reference.windows import Axis, padded, seen_by, sliding_axes

__all__ = ["OPERATORS"]


class MaxPool(Operator):
    """The largest value of each window; padding never wins."""

    def _run(
        self, x: np.ndarray, kernel_shape: list[int], storage_order: int = 0, **window: Any
    ) -> tuple[np.ndarray, ...]:
        axes = sliding_axes(x.shape[2:], kernel_shape, **window)
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        if len(self.output) == 1:
            return (_reduce(x, axes, np.maximum, lowest),)
        return _largest_and_where(x, axes, lowest, storage_order)


class AveragePool(Operator):
    """The mean of each window, over its taps inside the input, or the padding too with count_include_pad."""

    def _run(
        self, x: np.ndarray, kernel_shape: list[int], count_include_pad: int = 0, **window: Any
    ) -> tuple[np.ndarray]:
        axes = sliding_axes(x.shape[2:], kernel_shape, **window)
        y = _reduce(x, axes, np.add, 0.0)
        for i, axis in enumerate(axes):
            y /= _counts(axis, bool(count_include_pad)).reshape(-1, *(1,) * (len(axes) - 1 - i))
        return (y,)


class LpPool(Operator):
    """The p-norm of each window."""

    def _run(self, x: np.ndarray, kernel_shape: list[int], p: int = 2, **window: Any) -> tuple[np.ndarray]:
        sums = _reduce(np.abs(x) ** p, sliding_axes(x.shape[2:], kernel_shape, **window), np.add, 0.0)
        return (sums ** (1 / p),)


class GlobalAveragePool(Operator):
    """The mean over all spatial axes."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalMaxPool(Operator):
    """The maximum over all spatial axes."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(Operator):
    """The p-norm over all spatial axes."""

    def _run(self, x: np.ndarray, p: int = 2) -> tuple[np.ndarray]:
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


def _reduce(x: np.ndarray, axes: list[Axis], combine: np.ufunc, neutral: float) -> np.ndarray:
    """Combine the taps of all windows, one axis after the other: sum(kernel) operations, not prod(kernel)."""
    y = padded(x, [(axis.begin, axis.reach) for axis in axes], neutral)
    for i, axis in enumerate(axes):
        before = (slice(None),) * (2 + i)
        total = y[(*before, seen_by(0, axis))].copy()
        for tap in range(1, axis.kernel):
            combine(total, y[(*before, seen_by(tap, axis))], out=total)
        y = total
    return y


def _counts(axis: Axis, with_padding: bool) -> np.ndarray:
    """How many taps of each window count, (out,). What ceil_mode adds beyond the padding never does."""
    low, high = (-axis.begin, axis.size + axis.end) if with_padding else (0, axis.size)
    seen = axis.positions()
    counts: np.ndarray = ((seen >= low) & (seen < high)).sum(axis=1)
    return counts.clip(1)


def _largest_and_where(x: np.ndarray, axes: list[Axis], lowest: float, storage_order: int) -> tuple[np.ndarray, ...]:
    """The maxima and their flat positions in x, the first of equals; storage_order 1: column-major per channel."""
    spatial = x.shape[2:]
    flat = np.arange(int(np.prod(spatial))).reshape(spatial, order="F" if storage_order else "C")
    margins = [(axis.begin, axis.reach) for axis in axes]
    around, positions = padded(x, margins, lowest), padded(flat, margins, -1)
    y = np.full((*x.shape[:2], *(axis.out for axis in axes)), lowest, x.dtype)
    where = np.full(y.shape, -1)
    for taps in itertools.product(*(range(axis.kernel) for axis in axes)):
        view: tuple[Any, ...] = (..., *(seen_by(tap, axis) for tap, axis in zip(taps, axes, strict=True)))
        better = (around[view] > y) | ((where < 0) & (positions[view] >= 0))
        np.copyto(y, around[view], where=better)
        np.copyto(where, positions[view], where=better)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * len(axes))
    return y, where + planes * flat.size


OPERATORS = (MaxPool, AveragePool, LpPool, GlobalAveragePool, GlobalMaxPool, GlobalLpPool)
