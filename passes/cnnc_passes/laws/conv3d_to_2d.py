"""Conv3d(x, W, b)[t] => sum over i of Conv2d(x[t*s - p + i*d], W[i]) + b, by frames. Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.frame_convolution import ClipConvolution, FrameWriter, clip_convolution
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["Conv3dTo2d"]

_MOST_CONVOLUTIONS = 256  # one of 64 frames and 3 taps is 192


class Conv3dTo2d(Rewrite):
    """Compute a convolution over clips frame by frame, with two-dimensional ones.

    onnxruntime's CPU provider lays out every patch of a clip in memory to multiply it; its convolutions of images do
    not. Each tap of the kernel in time is a convolution of one frame, which adds to the result of the tap before it
    (FusedConv's z), so that the sum stays in the cache. Frames of zeros, in the padding in time, are not computed at
    all. What is joined again here is not where the next layer takes frames too (merge-frames).

    Declines if T is open, auto_pad is set, the weight or bias is not constant, the type is not float32, channels do
    not fit the engine's blocked layout, a frame of the result sees padding alone, or there would be hundreds of
    convolutions.
    """

    roots = frozenset({"Conv", "com.microsoft::FusedConv"})
    trades = True  # frames are read once a tap
    example = """
        g (float[N,1,2,4,4] x) => (float[N,1,2,4,4] y)
        <float[1,1,3,1,1] w = {1,2,3}, float[1] b = {1}>
        { y = Conv <pads = [1,0,0,1,0,0]> (x, w, b) }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one convolution."""
        clip = clip_convolution(conv)
        if not isinstance(clip, ClipConvolution):
            return clip
        count = sum(map(len, clip.taps))
        if count > _MOST_CONVOLUTIONS:
            return Decline(f"it would be {count} convolutions of frames")
        write = FrameWriter(clip)
        return write.change([write.direct(index) for index in range(len(clip.taps))])
