"""Convolution, pooling and Resize: which input positions each output position reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from cnnc.analysis.geometry.reads import EVERYTHING, Along, AxisRead, Edge, Reading, Scattered, known_shape, same
from cnnc_passes.rewrite import constant, op_name
from cnnc_passes.shapes import Window, explicit_pads
from cnnc_passes.windows import POOLINGS, groups, node_windows

__all__ = ["read_resize", "read_windows", "window_read"]

_FINEST = 1024  # the largest denominator of a Resize's scale that is taken for what its float stands for


def read_windows(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Conv, ConvTranspose, FusedConv (with the residual that it adds) and the poolings, of any rank."""
    x, windows, shape = node.inputs[0], node_windows(node), known_shape(node.inputs[0], sizes)
    if x is None or windows is None or shape is None or "output_shape" in node.attributes:
        return None
    spatial = [
        window_read(axis, size, window) for axis, (size, window) in enumerate(zip(shape[2:], windows, strict=True), 2)
    ]
    axes = (same(0), _channels(node, shape[1]), *spatial)
    readings = [Reading(x, output, axes) for output in range(len(node.outputs))]
    residual = node.inputs[3] if op_name(node) == "com.microsoft::FusedConv" and len(node.inputs) > 3 else None
    if residual is not None:
        readings.append(Reading(residual, 0, tuple(map(same, range(len(shape))))))
    return readings


def _channels(node: ir.Node, channels: int) -> AxisRead:
    if op_name(node) in POOLINGS:
        return same(1)
    group = groups(node)
    depthwise = group == channels and node.outputs[0].shape is not None and node.outputs[0].shape[1] == channels
    return EVERYTHING if group == 1 else same(1) if depthwise else Scattered(None)


def window_read(axis: int, size: int, window: Window) -> Along:
    """Output o reads o*s - p + d*t for t < k. Transposed, it reads each i with i*s - p + d*t = o for some t < k."""
    begin, _ = explicit_pads(size, window)
    stride, dilation, span = window.stride, window.dilation, window.span
    if not window.transposed:
        return Along(
            axis,
            lambda index: range(index * stride - begin, index * stride - begin + span, dilation),
            advance=stride,
        )
    offsets = range(0, span, dilation)
    return Along(
        axis,
        lambda index: [(index + begin - t) // stride for t in offsets if (index + begin - t) % stride == 0],
        period=stride,
    )


def read_resize(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Nearest, linear and cubic interpolation; antialiased or cropping Resize is not followed."""
    x, before, after = node.inputs[0], known_shape(node.inputs[0], sizes), known_shape(node.outputs[0], sizes)
    antialias = node.attributes.get_int("antialias", 0)
    if x is None or before is None or after is None or antialias:
        return None
    scales = _scales(node, before, after)
    if scales is None:
        return None
    axes = []
    for axis, (have, want, scale) in enumerate(zip(before, after, scales, strict=True)):
        read = same(axis) if have == want and scale == 1 else _resized(node, axis, have, want, scale)
        if read is None:
            return None
        axes.append(read)
    return [Reading(x, 0, tuple(axes))]


def _scales(node: ir.Node, before: Sequence[int], after: Sequence[int]) -> list[Fraction] | None:
    """Output over input; the scale that the node gives, where it does not divide evenly."""
    ratios = [Fraction(want, have) for have, want in zip(before, after, strict=True)]
    given = node.inputs[1:3][-1] if len(node.inputs) in (2, 3) else None  # the second before opset 11
    if given is None or "axes" in node.attributes:
        return ratios
    array = constant(given) if given.const_value is not None and given.const_value.size == len(ratios) else None
    if array is None:
        return None
    exact = [Fraction(float(scale)).limit_denominator(_FINEST) for scale in array.reshape(-1)]
    same_floats = np.array_equal(np.array([float(scale) for scale in exact], np.float32), array.astype(np.float32))
    return exact if same_floats else None


def _resized(node: ir.Node, axis: int, have: int, want: int, scale: Fraction) -> Along | None:
    """As the ONNX specification of Resize has it: output o lies at `slope * o + offset` of the input."""
    upsample = node.op_type == "Upsample"
    mode = node.attributes.get_string("coordinate_transformation_mode", "asymmetric" if upsample else "half_pixel")
    half = Fraction(1, 2)
    if mode == "align_corners":
        slope, offset = (Fraction(have - 1, want - 1), Fraction(0)) if want > 1 else (Fraction(0), Fraction(0))
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and want > 1):
        slope, offset = 1 / scale, half / scale - half
    elif mode == "asymmetric":
        slope, offset = 1 / scale, Fraction(0)
    else:
        return None
    kind = node.attributes.get_string("mode", "nearest") or "nearest"
    nearest = node.attributes.get_string("nearest_mode", "floor" if upsample else "round_prefer_floor") or ""
    if kind not in ("nearest", "linear", "cubic"):
        return None

    def taps(index: int) -> Sequence[int]:
        place = slope * index + offset
        if kind == "nearest":
            return (_nearest(place, nearest),)
        reach = 0 if place.denominator == 1 else 1 if kind == "linear" else 2
        return range(math.floor(place) - max(reach - 1, 0), math.floor(place) + reach + 1)

    return Along(axis, taps, period=slope.denominator, advance=slope.numerator, edge=Edge.NEAREST)


def _nearest(place: Fraction, mode: str) -> int:
    half = Fraction(1, 2)
    if mode == "floor":
        return math.floor(place)
    if mode == "ceil":
        return math.ceil(place)
    return math.floor(place + half) if mode == "round_prefer_ceil" else math.ceil(place - half)
