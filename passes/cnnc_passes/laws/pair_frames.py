"""Conv3d(x, W)[t], [t+1] => m + n + W[0]*(x[t-1] - x[t+1]), m - n + W[2]*(x[t+2] - x[t]). Equal up to rounding.

With m = (W[0] + W[1] + W[2])/2 * (x[t] + x[t+1]) and n = (W[0] - W[1] + W[2])/2 * (x[t+1] - x[t]), where `*` is Conv2d
of one frame.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.frame_convolution import ClipConvolution, FrameWriter, clip_convolution
from cnnc_passes.rewrite import Change, Decline, Rewrite
from cnnc_passes.windows import groups

__all__ = ["PairFrames"]


class PairFrames(Rewrite):
    """Compute two neighboring frames of a convolution over clips by four convolutions of images, not six.

    This is F(2, 3) of Winograd's minimal filtering (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
    2016), in time alone. There a transformation is a sum of two maps, which the engine's blocked layout has, and the
    products are its convolutions of images. Frames that see the padding in time, and the last one of an odd number,
    are computed as in conv3d-to-2d.

    Leaves alone what has no kernel of three frames, side by side, with stride 1, and what cannot be computed by frames
    at all (conv3d-to-2d says why). Declines if there are no two neighbors that see three frames each, or the sums of
    maps would cost what the convolutions save.
    """

    roots = frozenset({"Conv", "com.microsoft::FusedConv"})
    trades = True  # fewer MACs, but maps are read again for their sums
    example = """
        g (float[N,1,4,4,4] x) => (float[N,1,2,4,4] y) <float[1,1,3,1,1] w = {1,2,3}>
        { y = Conv (x, w) }
    """

    def __init__(self, least_work: float = 0) -> None:
        """Decline where fewer MACs than this are saved for each value that is added or subtracted instead."""
        self._least_work = least_work

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one convolution."""
        clip = clip_convolution(conv)
        if not isinstance(clip, ClipConvolution):
            return None
        time = clip.windows[0]
        if (time.kernel, time.stride, time.dilation) != (3, 1, 1):
            return None
        pairs = _pairs(clip)
        if not pairs:
            return Decline("no two neighboring frames see three frames each")
        work = _work(clip)
        if work < self._least_work:
            return Decline(f"it saves {work:.0f} MACs for each value that is added instead")
        return _in_pairs(clip, pairs)


def _pairs(clip: ClipConvolution) -> list[int]:
    """The first of every two neighbors whose taps are all there."""
    pairs: list[int] = []
    for index, (one, two) in enumerate(zip(clip.taps, clip.taps[1:], strict=False)):
        if len(one) == len(two) == 3 and (not pairs or pairs[-1] < index - 1):
            pairs.append(index)
    return pairs


def _work(clip: ClipConvolution) -> float:
    """MACs saved a pair, over the values of the four sums of its frames and the two of its products."""
    filters, per_group, _, *kernel = clip.weight.shape
    strides = np.prod([window.stride for window in clip.windows[1:]])
    saved = 2 * np.prod(kernel) * per_group * filters
    return float(saved / (4 * per_group * groups(clip.conv) * strides + 2 * filters))


def _in_pairs(clip: ClipConvolution, pairs: list[int]) -> Change:
    write = FrameWriter(clip)
    x = clip.conv.inputs[0]
    blocked = x is not None and x.producer() is not None  # what the caller gives comes in plain order
    filters, channels = clip.weight.shape[0], clip.weight.shape[1] * groups(clip.conv)
    first, middle, last = np.moveaxis(clip.weight.astype(np.float64), 2, 0)
    even, odd = write.kernel("even", (first + middle + last) / 2), write.kernel("odd", (first - middle + last) / 2)
    results: dict[int, ir.Value] = {}
    for index in pairs:
        start = clip.taps[index][0][1]
        a, b, c, d = write.frames[start : start + 4]
        m = write.convolve(write.add(b, c), even)
        n = write.convolve(write.subtract(c, b, channels, blocked=blocked), odd)
        totals = [write.add(m, n), write.subtract(m, n, filters)]
        if write.added:
            totals = [write.add(total, write.added[index + side]) for side, total in enumerate(totals)]
        ends = [write.subtract(one, two, channels, blocked=blocked) for one, two in ((a, c), (d, b))]
        for side in (0, 1):
            results[index + side] = write.convolve(ends[side], write.tap(2 * side), totals[side], bias=True, last=True)
    return write.change(
        [results[index] if index in results else write.direct(index) for index in range(len(clip.taps))]
    )
