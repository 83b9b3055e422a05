"""Graphs for pair-frames."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import overridable, to_float16
from tests.contract.graphs import model, node, weights
from tests.contract.laws.conv3d_to_2d import clip, fused, images


def of_a_layer() -> onnx.ModelProto:
    """Frames that another layer computes, and that may come in blocks: a difference is a convolution."""
    nodes = [node("Relu", "x", "r"), node("Conv", "r w", "y")]
    return model(nodes, {"x": ["batch", 4, 4, 5, 5]}, ["y"], {"w": weights(8, 4, 3, 3, 3)})


SAMPLES: dict[str, Sample] = {
    "one-pair": lambda: clip(pads=[0, 1, 1, 0, 1, 1]),
    "padded-in-time": clip,
    "an-odd-number": lambda: clip(frames=5),
    "several-pairs": lambda: clip(frames=8),
    "no-bias": lambda: clip(bias=False),
    "time-only": lambda: clip((3, 1, 1)),
    "strides-in-space": lambda: clip(strides=[1, 2, 2]),
    "dilations-in-space": lambda: clip(dilations=[1, 2, 1], pads=[1, 2, 1, 1, 2, 1]),
    "uneven-pads": lambda: clip(pads=[2, 0, 1, 0, 1, 2]),
    "depthwise": lambda: clip(group=4),
    "stem": lambda: clip(channels=3, filters=8, strides=[1, 2, 2]),
    "filters-that-fit-no-block": lambda: clip(filters=6),
    "of-a-layer": of_a_layer,
    "relu": lambda: fused(z=False, frames=4),
    "residual": lambda: fused(z=True, frames=5),
}

DECLINES: dict[str, Sample] = {
    "no two neighboring frames see three frames each": lambda: clip(frames=3),
}

LEAVES: dict[str, Sample] = {
    "images": images,
    "a kernel of one frame": lambda: clip((1, 3, 3)),
    "a kernel of five frames": lambda: clip((5, 1, 1)),
    "a stride in time": lambda: clip(strides=[2, 1, 1], frames=6),
    "a dilation in time": lambda: clip(dilations=[2, 1, 1], frames=6, pads=[2, 1, 1, 2, 1, 1]),
    "the number of frames is open": lambda: clip(frames="T"),
    "auto_pad is set": lambda: clip(auto_pad="SAME_UPPER"),
    "the weight is not constant": lambda: overridable(clip(), "w"),
    "the type is not float32": lambda: to_float16(clip()),
    "channels that fit no blocked layout": lambda: clip(channels=8, filters=8, group=2),
}
