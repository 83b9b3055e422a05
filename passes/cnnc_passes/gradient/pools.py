"""g -> g at the places of the maxima, or g spread evenly over each window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.convolutions import padded_windows, transposed_convolution, unread, window_attributes
from cnnc_passes.gradient.reductions import global_average_pool
from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.shapes import Window

__all__ = ["POOLS"]


def max_pool(s: Step) -> ir.Value:
    """MaxPool: dx = the sum, at each place, of the g of the windows whose first maximum it is.

    The places are MaxPool's own second output, counted over the whole tensor; windows may overlap.
    """
    kept = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "ceil_mode")
    attributes = {name: s.node.attributes[name] for name in kept if name in s.node.attributes}
    places = s.second_output("MaxPool", s.x, **attributes)
    everywhere = np.array([-1], np.int64)
    zeros = s.op("Reshape", s.zeros(), everywhere)
    flat_places, flat_g = s.op("Reshape", places, everywhere), s.op("Reshape", s.full(s.g, s.y), everywhere)
    return s.reshape(s.op("ScatterElements", zeros, flat_places, flat_g, axis=0, reduction="add"), s.x)


def global_max_pool(s: Step) -> ir.Value:
    """GlobalMaxPool: dx = g at the first maximum of each channel, else 0."""
    rows = s.op("Reshape", s.x, np.array([0, 0, -1]))
    places = s.op("ArgMax", rows, axis=2, keepdims=1)
    zeros = s.op("Expand", 0.0, s.op("Shape", rows))
    first = np.array([0, 0, -1])
    g = s.op("Reshape", s.full(s.g, s.y), first)
    return s.reshape(s.op("ScatterElements", zeros, places, g, axis=2), s.x)


def average_pool(s: Step) -> ir.Value:
    """AveragePool: dx = the transposed convolution of g/n by a kernel of ones, n the elements that a window counts."""
    windows, channels = padded_windows(s), s.sizes(s.x, [1])[0]
    g = _per_element(s, s.full(s.g, s.y), windows)
    rest = [unread(s, axis, window) for axis, window in enumerate(windows, 2)]
    tiles = all(w.kernel == w.stride and w.dilation == 1 and w.pads == (0, 0) for w in windows)
    if tiles and all(r == 0 for r in rest):  # each g once for each element of its window
        scales = np.array([1, 1, *(w.kernel for w in windows)], np.float32)
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return s.op("Resize", g, None, s.tape.constant(scales), like=s.x, **modes)
    ones = np.ones([channels, 1, *(w.kernel for w in windows)])
    return transposed_convolution(s, g, s.constant(ones), windows, channels)


def _per_element(s: Step, g: ir.Value, windows: Sequence[Window]) -> ir.Value:
    """`g` by how many elements its window counts: padding as `count_include_pad` says, nothing beyond it."""
    padding = bool(s.integer("count_include_pad", 0))
    partial = [(w.ceil_mode and w.stride > 1) or (not padding and w.pads != (0, 0)) for w in windows]
    if not any(partial):
        return s.times(g, 1 / float(np.prod([w.kernel for w in windows])))
    axes = range(2, 2 + len(windows))
    if all(isinstance(s.dims(value)[axis], int) for value in (s.x, s.y) for axis in axes):
        sizes = zip(s.sizes(s.x, axes), s.sizes(s.y, axes), windows, strict=True)
        counts = np.ones([1] * len(windows))
        for axis, (size, out, window) in enumerate(sizes):
            along = _counted(size, out, window, padding)
            counts = counts * along.reshape([-1 if i == axis else 1 for i in range(len(windows))])
        return s.op("Mul", g, 1 / counts)
    if any(w.ceil_mode and w.stride > 1 for w in windows):
        s.refuse("with ceil_mode the part of the last window that counts is open", open_size=True)
    ones = s.op(
        "Expand",
        np.ones([1, 1, *[1] * len(windows)]),
        s.op("Concat", np.ones(2, np.int64), s.tape.shape_of(s.x, 2), axis=0),
    )
    kernel = s.constant(np.ones([1, 1, *(w.kernel for w in windows)]))
    return s.op("Div", g, s.op("Conv", ones, kernel, **window_attributes(windows)))


def _counted(size: int, out: int, window: Window, padding: bool) -> np.ndarray:
    """How many taps of each of the `out` windows along an axis count, (out,)."""
    taps = np.arange(out)[:, None] * window.stride + np.arange(window.kernel)[None, :] * window.dilation
    low, high = (0, sum(window.pads) + size) if padding else (window.pads[0], window.pads[0] + size)
    return np.asarray(((taps >= low) & (taps < high)).sum(axis=1))


POOLS: dict[str, Rule] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
}
