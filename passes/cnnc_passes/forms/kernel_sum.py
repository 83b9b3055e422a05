"""sum of conv(x, W_i) = conv(x, sum of W_i), each W_i first set into one common frame of taps and groups.

A convolution reads x at out*stride + tap, with taps at -pad_begin, -pad_begin + dilation, ... So what places a
kernel among others is its padding, not its centre; the taps that it lacks are zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType

import numpy as np

from cnnc_passes.forms.linear_branch import Branch, Frame
from cnnc_passes.shapes import Window

__all__ = ["common_frame", "frame_macs", "kernel_sum"]


def common_frame(a: Frame, b: Frame) -> Frame | None:
    """The smallest frame that holds both; None if their strides differ.

    Both outputs must have the same size: then any of the two paddings at the end gives it.
    """
    if [window.stride for window in a.windows] != [window.stride for window in b.windows]:
        return None
    windows = tuple(_common_window(u, v) for u, v in zip(a.windows, b.windows, strict=True))
    return Frame(windows, math.gcd(a.groups, b.groups))  # blocks of few groups are unions of those of more


def frame_macs(frame: Frame, inputs: int, outputs: int) -> int:
    """Multiply-accumulates at each output position: the size of the weight (M, C/groups, *kernel)."""
    return outputs * (inputs // frame.groups) * math.prod(window.kernel for window in frame.windows)


def kernel_sum(branches: Sequence[Branch], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """The merged weight (M, C/groups, *kernel) and bias (M,), float64.

    Args:
        branches: of one source, with as many outputs each.
        frame: common to all (`common_frame`).
    """
    first = branches[0]
    kernel = [window.kernel for window in frame.windows]
    weight = np.zeros((first.outputs, first.inputs // frame.groups, *kernel))
    for branch in branches:
        # Of `fine` groups set into `coarse`, those of both indices of fine/coarse that are equal are filled.
        fine, coarse = branch.frame.groups, frame.groups
        blocks = weight.reshape(coarse, fine // coarse, -1, fine // coarse, first.inputs // fine, *kernel)
        own = branch.weight.reshape(coarse, fine // coarse, -1, *branch.weight.shape[1:])
        taps: tuple[slice | EllipsisType, ...] = (..., *_taps(branch.frame, frame))
        for block in range(fine // coarse):
            blocks[:, block, :, block][taps] += own[:, block]
    return weight, np.sum([branch.bias for branch in branches], axis=0)


def _common_window(a: Window, b: Window) -> Window:
    first = min(-a.pads[0], -b.pads[0])
    longer = max(a, b, key=_last_tap)
    steps = [window.dilation for window in (a, b) if window.kernel > 1]
    step = math.gcd(*steps, a.pads[0] - b.pads[0]) or 1
    kernel = (_last_tap(longer) - first) // step + 1
    return Window(kernel, a.stride, step, pads=(-first, longer.pads[1]))


def _last_tap(window: Window) -> int:
    return window.span - 1 - window.pads[0]


def _taps(branch: Frame, frame: Frame) -> tuple[slice, ...]:
    """Where the branch's taps lie in the frame's kernel."""
    slices = []
    for own, common in zip(branch.windows, frame.windows, strict=True):
        begin = (common.pads[0] - own.pads[0]) // common.dilation
        step = max(own.dilation // common.dilation, 1)
        slices.append(slice(begin, begin + (own.kernel - 1) * step + 1, step))
    return tuple(slices)
