"""Conv(Conv(x, W, b), V, c) => Conv(x, V o W, c + sum(V*b)), o the composition of kernels. Equal up to rounding."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.linear import Linear, linear_before, linear_of
from cnnc_passes.rewrite import Change, Decline, Rewrite
from cnnc_passes.shapes import Window
from cnnc_passes.windows import node_windows

__all__ = ["MergeSerial"]


class MergeSerial(Rewrite):
    """Make one convolution of two with nothing between, where it is the cheaper.

    The second reads the first at out*stride + tap, so the strides multiply and the taps add up.

    Declines if another node reads the first, one convolution takes no fewer MACs than two, the second pads (its zeros
    are not what the first would compute there, unless that is 1x1 with stride 1, no padding and no bias),
    the pads are not explicit, the groups differ, a weight or bias is not constant, or a value does not fit
    the weight's type.
    """

    roots = frozenset({"Conv"})
    example = """
        g (float[N,2,4,4] x) => (float[N,1,4,4] y)
        <float[2,2,1,1] w = {1,2,3,4}, float[2] b = {1,2}, float[1,2,1,1] v = {10,1}, float[1] c = {5}>
        { h = Conv (x, w, b)  y = Conv (h, v, c) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second Conv."""
        inner, outer = linear_before(node.inputs[0]), linear_of(node)
        if isinstance(inner, Linear) and inner.op != "Conv":
            return None
        if not isinstance(inner, Linear) or not isinstance(outer, Linear):
            return inner if not isinstance(inner, Linear) else outer if isinstance(outer, Decline) else None
        first, second = node_windows(inner.nodes[0]), node_windows(node)
        assert first is not None and second is not None
        if any(window.auto_pad not in ("NOTSET", "VALID") for window in (*first, *second)):
            return Decline("auto_pad sets the pads")
        if inner.groups != outer.groups:
            return Decline(f"the groups differ: {inner.groups} and {outer.groups}")
        if any(map(any, map(_pads, second))) and not (_is_pointwise(first) and not np.any(inner.bias)):
            return Decline("the second Conv pads what the first computes")
        windows = [_composed(a, b) for a, b in zip(first, second, strict=True)]
        kernel = [window.kernel for window in windows]
        if not _is_cheaper(inner, outer, kernel, second):
            return Decline(f"one Conv of kernel {kernel} takes no fewer MACs than both")
        attributes = {
            "group": ir.AttrInt64("group", outer.groups),
            "kernel_shape": ir.AttrInt64s("kernel_shape", kernel),
            "strides": ir.AttrInt64s("strides", [window.stride for window in windows]),
            "dilations": ir.AttrInt64s("dilations", [window.dilation for window in windows]),
            "pads": ir.AttrInt64s("pads", [window.pads[end] for end in (0, 1) for window in windows]),
        }
        merged = dataclasses.replace(outer, inputs=(inner.inputs[0], *outer.inputs[1:]), attributes=attributes)
        bias = outer.bias + outer.summed_over(inner.bias)
        conv = merged.with_constants(node.outputs[0], _kernels(inner, outer, first, second, windows), bias)
        return conv if isinstance(conv, Decline) else Change([*inner.nodes, node], [conv])


def _pads(window: Window) -> tuple[int, int]:
    return (0, 0) if window.auto_pad == "VALID" else window.pads


def _is_pointwise(windows: Sequence[Window]) -> bool:
    return all(window.kernel == window.stride == 1 and not any(_pads(window)) for window in windows)


def _composed(a: Window, b: Window) -> Window:
    """The window of b's windows of a's: taps at j*dilation_b*stride_a + i*dilation_a."""
    steps = [step for step, window in ((a.dilation, a), (b.dilation * a.stride, b)) if window.kernel > 1]
    dilation = math.gcd(*steps) or 1
    reach = (a.kernel - 1) * a.dilation + (b.kernel - 1) * b.dilation * a.stride
    pads = _pads(b) if any(_pads(b)) else _pads(a)  # b has pads only where a is pointwise and has none
    return Window(reach // dilation + 1, a.stride * b.stride, dilation, pads)


def _is_cheaper(inner: Linear, outer: Linear, kernel: Sequence[int], second: Sequence[Window]) -> bool:
    """Compare MACs; where a size is open, by the limit of large inputs."""
    sizes = [list(linear.nodes[0].outputs[0].shape or ())[2:] for linear in (inner, outer)]
    numbers = [[size for size in shape if isinstance(size, int)] for shape in sizes]
    before, after = math.prod(window.stride for window in second), 1
    if all(len(shape) == len(second) for shape in numbers):
        before, after = math.prod(numbers[0]), math.prod(numbers[1])
    merged = outer.weight.shape[0] * inner.weight.shape[1] * math.prod(kernel)
    return bool(after * merged < before * inner.weight.size + after * outer.weight.size)


def _kernels(
    inner: Linear, outer: Linear, first: Sequence[Window], second: Sequence[Window], windows: Sequence[Window]
) -> np.ndarray:
    """Weights (M, C/groups, *kernel), float64: for each pair of taps, the product of their matrices."""
    v = outer.weight.astype(np.float64).reshape(outer.groups, -1, *outer.weight.shape[1:])
    w = inner.weight.astype(np.float64).reshape(inner.groups, -1, *inner.weight.shape[1:])
    kernel = [window.kernel for window in windows]
    merged = np.zeros((outer.groups, v.shape[1], w.shape[2], *kernel))
    for j in np.ndindex(*outer.weight.shape[2:]):
        for i in np.ndindex(*inner.weight.shape[2:]):
            tap = [
                (y * b.dilation * a.stride + x * a.dilation) // window.dilation
                for y, x, a, b, window in zip(j, i, first, second, windows, strict=True)
            ]
            merged[(..., *tap)] += v[(..., *j)] @ w[(..., *i)]
    return merged.reshape(outer.weight.shape[0], inner.weight.shape[1], *kernel)
