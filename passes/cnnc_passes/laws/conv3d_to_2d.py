"""Conv3d(x, W, b)[t] => sum over i of Conv2d(x[t*s - p + i*d], W[i]) + b, by frames. Equal up to rounding."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import takes_blocks
from cnnc_passes.forms.frames import TIME, frame_count, join_frames, split_frames, taps_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, new_constant, opset
from cnnc_passes.shapes import Window
from cnnc_passes.windows import groups, node_windows

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
        x, y = conv.inputs[0], conv.outputs[0]
        if x is None or x.shape is None or len(x.shape) != 5:
            return None
        weight, bias = constant(conv.inputs[1]), conv.inputs[2] if len(conv.inputs) > 2 else None
        if weight is None or (bias is not None and constant(bias) is None):
            return Decline("the weight or bias is not constant")
        if weight.dtype != np.float32:
            return Decline(f"FusedConv needs float32, not {weight.dtype}")
        windows = node_windows(conv)
        if windows is None or any(window.auto_pad != "NOTSET" for window in windows):
            return Decline("auto_pad is set")
        frames, results = frame_count(x), frame_count(y)
        if frames is None or results is None or opset(conv) < 13:
            return Decline("the number of frames is open")
        if not takes_blocks(weight.shape[0], weight.shape[1], groups(conv)):
            return Decline("the channels do not fit the engine's blocked layout")
        taps = [taps_of(windows[0], index, frames) for index in range(results)]
        if not all(taps):
            return Decline("a frame of the result sees padding alone")
        if sum(map(len, taps)) > _MOST_CONVOLUTIONS:
            return Decline(f"it would be {sum(map(len, taps))} convolutions of frames")
        return _by_frames(conv, weight, windows, taps)


def _by_frames(conv: ir.Node, weight: np.ndarray, windows: list[Window], taps: list[list[tuple[int, int]]]) -> Change:
    x, y = conv.inputs[0], conv.outputs[0]
    assert x is not None
    nodes, frames = split_frames(x, y)
    z = conv.inputs[3] if len(conv.inputs) > 3 else None
    added: list[ir.Value] = []
    if z is not None:
        more, added = split_frames(z, y)
        nodes += more
    kernels = [new_constant(y, f"weight.{tap}", weight[:, :, tap]) for tap in range(weight.shape[2])]
    none = new_constant(y, "no_bias", np.zeros(weight.shape[0], weight.dtype))
    bias = conv.inputs[2] if len(conv.inputs) > 2 and conv.inputs[2] is not None else none
    attributes = {
        "kernel_shape": [window.kernel for window in windows[1:]],
        "strides": [window.stride for window in windows[1:]],
        "dilations": [window.dilation for window in windows[1:]],
        "pads": [window.pads[side] for side in (0, 1) for window in windows[1:]],
        "group": groups(conv),
    }
    results = []
    for index, seen in enumerate(taps):
        total = added[index] if added else None
        for place, (tap, frame) in enumerate(seen):
            last = place == len(seen) - 1
            inputs = [frames[frame], kernels[tap], none if place else bias, *([total] if total is not None else [])]
            nodes.append(_convolution(conv, inputs, attributes, with_activation=last))
            total = nodes[-1].outputs[0]
        assert total is not None
        results.append(total)
    return Change([conv], [*nodes, *join_frames(results, conv)], static=frozenset({TIME}))


def _convolution(
    conv: ir.Node, inputs: list[ir.Value], attributes: dict[str, object], *, with_activation: bool
) -> ir.Node:
    """A Conv, or a FusedConv where there is something to add to or an activation."""
    names = ("activation", "activation_params") if with_activation else ()
    extra = {name: conv.attributes[name] for name in names if name in conv.attributes}
    is_fused = len(inputs) > 3 or bool(extra)
    return ir.node(
        "FusedConv" if is_fused else "Conv",
        inputs,
        {**attributes, **extra},
        domain="com.microsoft" if is_fused else "",
        metadata_props=dict(conv.metadata_props),
    )
