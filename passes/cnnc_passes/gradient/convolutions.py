"""g -> the transposed convolution of g by the same weight, and for a transposed convolution the plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.rewrite import constant
from cnnc_passes.shapes import Window, explicit_pads
from cnnc_passes.windows import groups, node_windows
from cnnc_runtime.errors import InvalidInputError

__all__ = ["CONVOLUTIONS", "padded_windows", "transposed_convolution", "unread", "window_attributes"]

_WEIGHT = "the gradient of its weight was asked for, and only that of its input has a rule"


def conv(s: Step) -> ir.Value:
    """Conv: dx = ConvTranspose(g, W), strides, dilations, pads and groups as they are; W has its layout already.

    A depthwise one of stride 1 is the Conv of g by W turned around: engines compute that several times faster,
    and its copy of W is small.
    """
    if s.index != 0:
        s.refuse(_WEIGHT)
    windows, group, g = padded_windows(s), groups(s.node), s.full(s.g, s.y)
    weight = constant(s.input(1))
    turned = [w._replace(pads=(w.span - 1 - w.pads[0], w.span - 1 - w.pads[1])) for w in windows]
    fits = all(w.stride == 1 and min(w.pads) >= 0 for w in turned)
    if weight is None or not fits or not group == weight.shape[0] == s.dims(s.x)[1]:
        return transposed_convolution(s, g, s.input(1), windows, group)
    flipped = np.flip(weight, axis=tuple(range(2, weight.ndim)))
    return s.op("Conv", g, flipped, like=s.x, group=group, **window_attributes(turned))


def conv_transpose(s: Step) -> ir.Value:
    """ConvTranspose: dx = Conv(g, W), strides, dilations, pads and groups as they are; W has its layout already."""
    if s.index != 0:
        s.refuse(_WEIGHT)
    windows = padded_windows(s)
    if "output_shape" in s.node.attributes or any(w.output_padding >= w.stride for w in windows):
        s.refuse("its output has an explicit size, or a padding beyond the stride")
    return s.op("Conv", s.full(s.g, s.y), s.input(1), like=s.x, group=groups(s.node), **window_attributes(windows))


def padded_windows(s: Step) -> list[Window]:
    """The node's windows, with `auto_pad` as explicit pads.

    Raises:
        UnsupportedModelError: the kernel or the padding depends on an open size.
    """
    windows = node_windows(s.node)
    if windows is None:
        s.refuse("the size of its kernel is open")
    try:
        pads = [explicit_pads(size, w) for size, w in zip(s.dims(s.input(0))[2:], windows, strict=True)]
    except InvalidInputError as error:
        s.refuse(str(error), open_size=True)
    return [w._replace(pads=pad, auto_pad="NOTSET") for w, pad in zip(windows, pads, strict=True)]


def transposed_convolution(
    s: Step, g: ir.Value, weight: ir.Value | np.ndarray, windows: Sequence[Window], group: int
) -> ir.Value:
    """What a convolution of `s.x` by `weight` with these windows takes g, of y's shape, back to: x's shape.

    Positions that no window reads are the output padding, zero; where windows reach beyond the padding, as
    ceil_mode lets them, that much is cropped. Where this depends on an open size, the result is made as large as
    it can get, and cut to x's size.
    """
    rest = [unread(s, axis, window) for axis, window in enumerate(windows, 2)]
    known = [w.stride - 1 if r is None else r for r, w in zip(rest, windows, strict=True)]
    cropped = [w._replace(pads=(w.pads[0], w.pads[1] - min(r, 0))) for r, w in zip(known, windows, strict=True)]
    attributes = window_attributes(cropped) | {"group": group, "output_padding": [max(r, 0) for r in known]}
    if None not in rest:
        return s.op("ConvTranspose", g, weight, like=s.x, **attributes)
    grown = s.op("ConvTranspose", g, weight, **attributes)
    axes = np.arange(2, 2 + len(windows))
    return s.op("Slice", grown, np.zeros_like(axes), s.tape.shape_of(s.x, 2), axes, like=s.x)


def unread(s: Step, axis: int, window: Window) -> int | None:
    """How many positions at the end of padded x no window reaches, negative where they reach further; None if open."""
    if window.stride == 1:
        return 0
    size, out = s.dims(s.x)[axis], s.dims(s.y)[axis]
    if not isinstance(size, int) or not isinstance(out, int):
        return None
    return size + sum(window.pads) - window.span - (out - 1) * window.stride


def window_attributes(windows: Sequence[Window]) -> dict[str, Any]:
    """Of a node with these windows."""
    return {
        "kernel_shape": [window.kernel for window in windows],
        "strides": [window.stride for window in windows],
        "dilations": [window.dilation for window in windows],
        "pads": [window.pads[end] for end in (0, 1) for window in windows],
    }


CONVOLUTIONS: dict[str, Rule] = {"Conv": conv, "ConvTranspose": conv_transpose}
