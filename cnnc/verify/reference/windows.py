"""Sliding windows over (N, C, *spatial): where they stand, and what each of their taps sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnc_passes.shapes import AutoPad, Window, explicit_pads, output_size

__all__ = ["Axis", "padded", "seen_by", "sliding_axes"]


class Axis(NamedTuple):
    """The windows along one axis: window o's tap t sees position o*stride + t*dilation of the padded input.

    `end` is the padding the node asks for; `reach` is what the windows need, more with ceil_mode (the last one
    hangs over), less (negative too) where the stride leaves a rest.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    out: int

    @property
    def reach(self) -> int:
        """End padding after which the windows end exactly with the input."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1 - self.size - self.begin

    def positions(self) -> np.ndarray:
        """What each window's taps see, in coordinates of the unpadded input: (out, kernel)."""
        starts = np.arange(self.out) * self.stride - self.begin
        return starts[:, None] + np.arange(self.kernel) * self.dilation


def sliding_axes(
    sizes: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: int = 0,
) -> list[Axis]:
    """One Axis per spatial axis, from the attributes as ONNX gives them; the sizes are `cnnc_passes.shapes`'."""
    rank = len(kernel)
    pads = pads or [0] * 2 * rank
    axes = []
    for i, size in enumerate(sizes):
        window = Window(
            kernel=kernel[i],
            stride=strides[i] if strides else 1,
            dilation=dilations[i] if dilations else 1,
            pads=(pads[i], pads[i + rank]),
            auto_pad=auto_pad,
            ceil_mode=bool(ceil_mode),
        )
        out = output_size(size, window)
        assert isinstance(out, int)
        axes.append(Axis(size, kernel[i], window.stride, window.dilation, *explicit_pads(size, window), out))
    return axes


def padded(x: np.ndarray, margins: Sequence[tuple[int, int]], fill: Any = 0.0) -> np.ndarray:
    """X with `margins` around its last axes, filled with `fill`; a negative margin crops. A view where it can be."""
    every = [(0, 0)] * (x.ndim - len(margins)) + list(margins)
    crop = tuple(slice(max(-begin, 0), n - max(-end, 0)) for (begin, end), n in zip(every, x.shape, strict=True))
    grow = [(max(begin, 0), max(end, 0)) for begin, end in every]
    return np.pad(x[crop], grow, constant_values=fill) if np.any(grow) else x[crop]


def seen_by(tap: int, axis: Axis) -> slice:
    """What a tap of all windows sees along the axis, once padded: (out,)."""
    start = tap * axis.dilation
    return slice(start, start + (axis.out - 1) * axis.stride + 1, axis.stride)
