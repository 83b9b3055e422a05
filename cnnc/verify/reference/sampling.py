"""Operators that read an image at computed places: spatial transformers, deformable convolutions, regions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx.reference.ops.op_roi_align import RoiAlign as OnnxRoiAlign

from cnnc.verify.reference.convolution import biased
from cnnc.verify.reference.operator import Operator
from cnnc.verify.reference.resize import cubic_kernel
from cnnc.verify.reference.windows import sliding_axes

__all__ = ["OPERATORS"]

_CUBIC = -0.75  # Keys' coefficient in PyTorch's grid_sample


class _Tap(NamedTuple):
    """One neighbor, along one axis, of every place that is read: where it is, and its weight."""

    place: np.ndarray
    weight: np.ndarray


class AffineGrid(Operator):
    """The places, in -1 to 1, that an affine map theta (N, d, d + 1) reads: (N, *spatial, d), x before y."""

    def _run(self, theta: np.ndarray, size: np.ndarray, align_corners: int = 0) -> tuple[np.ndarray]:
        spatial = [int(n) for n in size[2:]]
        steps = [np.linspace(-1, 1, n) if align_corners else (2 * np.arange(n) + 1) / n - 1 for n in spatial]
        places = np.stack([*np.meshgrid(*steps, indexing="ij")[::-1], np.ones(spatial)], axis=-1)
        grid = places.reshape(1, -1, len(spatial) + 1) @ theta.swapaxes(1, 2)
        return (grid.reshape(-1, *spatial, len(spatial)),)


class GridSample(Operator):
    """What x (N, C, *spatial) holds at the places of grid (N, *out, d), in -1 to 1: (N, C, *out)."""

    def _run(
        self, x: np.ndarray, grid: np.ndarray, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
    ) -> tuple[np.ndarray]:
        places = grid.reshape(grid.shape[0], -1, grid.shape[-1])
        taps = [
            _grid_taps(places[..., -1 - i], n, mode.removeprefix("bi"), padding_mode, bool(align_corners))
            for i, n in enumerate(x.shape[2:])
        ]
        return (_sample(x, taps).reshape(*x.shape[:2], *grid.shape[1:-1]),)


class DeformConv(Operator):
    """A convolution whose taps are each moved by an offset (y before x) and scaled by a mask."""

    def _run(
        self,
        x: np.ndarray,
        w: np.ndarray,
        offset: np.ndarray,
        b: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        group: int = 1,
        offset_group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        **window: Any,
    ) -> tuple[np.ndarray]:
        axes = sliding_axes(x.shape[2:], w.shape[2:], **window)
        n, rank, out, count = x.shape[0], len(axes), [axis.out for axis in axes], int(np.prod(w.shape[2:]))
        offsets = offset.reshape(n * offset_group, *w.shape[2:], rank, *out)
        taps = []
        for i, axis in enumerate(axes):
            shape = [1] * 2 * rank
            shape[i], shape[rank + i] = axis.kernel, axis.out
            places = np.moveaxis(offsets, 1 + rank, 1)[:, i] + axis.positions().T.reshape(shape)
            taps.append(_linear_taps(places.reshape(n * offset_group, -1), axis.size))
        columns = _sample(x.reshape(n * offset_group, -1, *x.shape[2:]), taps).reshape(n, offset_group, -1, count, *out)
        if mask is not None:
            columns = columns * mask.reshape(n, offset_group, 1, count, *out)
        matrix = w.reshape(group, w.shape[0] // group, -1)
        y = (matrix @ columns.reshape(n, group, matrix.shape[2], -1)).reshape(n, w.shape[0], *out)
        return (biased(y, b),)


class RoiAlign(OnnxRoiAlign):
    """As onnx has it, but before opset 16 without the half pixel."""

    op_domain = ""

    def _run(self, *inputs: np.ndarray, **attributes: Any) -> Any:
        if self.run_params["opsets"][""] < 16:
            attributes["coordinate_transformation_mode"] = "output_half_pixel"
        return super()._run(*inputs, **attributes)


def _sample(x: np.ndarray, taps: Sequence[Sequence[_Tap]]) -> np.ndarray:
    """The weighted sum of the neighbors, (N, C, places), from each axis' taps (N, places); none beyond the edge."""
    flat = x.reshape(*x.shape[:2], -1)
    y = np.zeros((*x.shape[:2], taps[0][0].place.shape[1]))
    for corner in itertools.product(*taps):
        flat_place, weight = np.zeros(y.shape[::2], np.int64), np.ones(y.shape[::2])
        for tap, size in zip(corner, x.shape[2:], strict=True):
            flat_place = flat_place * size + tap.place.clip(0, size - 1)
            weight = weight * np.where((tap.place >= 0) & (tap.place < size), tap.weight, 0)
        y += np.take_along_axis(flat, flat_place[:, None], axis=2) * weight[:, None]
    return y


def _grid_taps(place: np.ndarray, size: int, mode: str, padding: str, align_corners: bool) -> list[_Tap]:
    at = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
    if mode == "cubic":
        first = np.floor(at)
        return [
            _Tap(
                _inside(first + step, size, padding, align_corners).astype(np.int64),
                cubic_kernel(np.abs(first + step - at), _CUBIC),
            )
            for step in (-1, 0, 1, 2)
        ]
    at = _inside(at, size, padding, align_corners)
    if mode == "nearest":
        return [_Tap(np.rint(at).astype(np.int64), np.ones(at.shape))]
    return _linear_taps(at, size)


def _linear_taps(at: np.ndarray, size: int) -> list[_Tap]:
    first = np.floor(at.clip(-2, size + 1))  # farther out is as far out
    rest = at - first
    index = first.astype(np.int64)
    return [_Tap(index, 1 - rest), _Tap(index + 1, rest)]


def _inside(at: np.ndarray, size: int, padding: str, align_corners: bool) -> np.ndarray:
    """Where a place is read: `border` moves it to the edge, `reflection` folds it back (PyTorch's grid_sample)."""
    if padding == "zeros":
        return at
    if padding == "reflection":
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        away = np.abs(at - low)
        rest, folds = (np.fmod(away, span), np.floor(away / span)) if span else (away * 0, away * 0)
        at = low + np.where(folds % 2 == 0, rest, span - rest)
    return at.clip(0, size - 1)


OPERATORS = (AffineGrid, DeformConv, GridSample, RoiAlign)
