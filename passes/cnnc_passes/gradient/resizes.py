"""g -> A^T g along each axis, of a Resize that is y = A x along it: linear, and nearest too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.selections import map_back
from cnnc_passes.gradient.step import Rule, Step

__all__ = ["RESIZES"]

_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}


def resize(s: Step) -> ir.Value:
    """Resize: dx = A^T g, axis by axis; where each element becomes a block of copies, the sum over its block."""
    modes = s.node.attributes
    if modes.get_int("antialias", 0) or modes.get_int("exclude_outside", 0):
        s.refuse("antialias or exclude_outside is set")
    if modes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        s.refuse("it keeps the aspect ratio")
    rank = len(s.dims(s.x))
    scales = _scales(s)
    if _is_block_copy(s, scales):
        blocks = [int(scale) for scale in scales[2:]]
        mean = s.op("AveragePool", s.full(s.g, s.y), like=s.x, kernel_shape=blocks, strides=blocks)
        return s.times(mean, float(np.prod(blocks)))
    g = s.g
    for axis in range(rank):
        if scales[axis] != 1:
            size, out = s.sizes(s.x, [axis])[0], s.sizes(s.y, [axis])[0]
            g = map_back(s, g, axis, _matrix(s, size, out, float(scales[axis])))
    return g


def _scales(s: Step) -> list[float]:
    """Of every axis; by sizes, what they are in numbers.

    Raises:
        UnsupportedModelError: a size is open and its scale not given.
    """
    rank = len(s.dims(s.x))
    axes = [axis % rank for axis in s.node.attributes.get_ints("axes", ()) or range(rank)]
    given = s.constant_input(2, "scales")
    if given is not None and given.size:
        every = dict(zip(axes, given.reshape(-1).tolist(), strict=True))
        return [every.get(axis, 1.0) for axis in range(rank)]
    pairs = zip(s.dims(s.x), s.dims(s.y), range(rank), strict=True)
    return [1.0 if size == out else s.sizes(s.y, [axis])[0] / s.sizes(s.x, [axis])[0] for size, out, axis in pairs]


def _is_block_copy(s: Step, scales: list[float]) -> bool:
    """Nearest, enlarged by whole numbers, so that output i is a copy of input floor(i/scale)."""
    modes = s.node.attributes
    if modes.get_string("mode", "nearest") != "nearest" or scales[:2] != [1, 1] or not 3 <= len(scales) <= 5:
        return False
    where = modes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = modes.get_string("nearest_mode", "round_prefer_floor")
    exact = where == "asymmetric" and rounding == "floor"
    centered = where in ("half_pixel", "half_pixel_symmetric") and rounding is not None and rounding.startswith("round")
    return (exact or centered) and all(scale >= 1 and scale % 1 == 0 for scale in scales)


def _matrix(s: Step, size: int, out: int, scale: float) -> np.ndarray:
    """A of one axis, (out, size). Source: the coordinates of ONNX's Resize, versions 11 to 19."""
    modes = s.node.attributes
    x = _coordinates(s, modes.get_string("coordinate_transformation_mode", "half_pixel") or "", size, out, scale)
    matrix, rows = np.zeros((out, size)), np.arange(out)
    mode = modes.get_string("mode", "nearest")
    if mode == "nearest":
        nearest = _ROUNDINGS[modes.get_string("nearest_mode", "round_prefer_floor") or "round_prefer_floor"](x)
        matrix[rows, np.clip(nearest, 0, size - 1).astype(int)] = 1
    elif mode == "linear":
        x = np.clip(x, 0, size - 1)
        low = np.floor(x).astype(int)
        matrix[rows, low] += 1 - (x - low)
        matrix[rows, np.minimum(low + 1, size - 1)] += x - low
    else:
        s.refuse(f"mode {mode!r} has no rule, only nearest and linear")
    return matrix


def _coordinates(s: Step, mode: str, size: int, out: int, scale: float) -> np.ndarray:
    """The place in the input, (out,), of each output."""
    i = np.arange(out, dtype=np.float64)
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * (size - 1) / (out - 1) if out > 1 else i
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and out > 1):
        return (i + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return i
    return s.refuse(f"coordinate_transformation_mode {mode!r} has no rule")


RESIZES: dict[str, Rule] = {"Resize": resize}
