"""Graphs for conv3d-to-2d."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import overridable, to_float16
from tests.contract.graphs import model, node, weights


def clip(
    kernel: Sequence[int] = (3, 3, 3),
    frames: int | str = 4,
    *,
    channels: int = 4,
    filters: int = 4,
    group: int = 1,
    bias: bool = True,
    pads: Sequence[int] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """A convolution of clips of 5x6 pixels, padded to keep their size where nothing else is said."""
    half = [size // 2 for size in kernel]
    constants = {"w": weights(filters, channels // group, *kernel), **({"b": weights(filters)} if bias else {})}
    if "auto_pad" not in attributes:
        attributes["pads"] = list(pads) if pads is not None else [*half, *half]
    conv = node("Conv", "x w b" if bias else "x w", "y", group=group, **attributes)
    return model([conv], {"x": ["batch", channels, frames, 5, 6]}, ["y"], constants)


def fused(z: bool, frames: int = 3) -> onnx.ModelProto:
    """As fuse-activation leaves it: with Relu, and the sum of a residual block."""
    conv = node("FusedConv", "x w b z" if z else "x w b", "y", pads=[1] * 6, activation="Relu", domain="com.microsoft")
    shape = ["batch", 4, frames, 5, 5]
    proto = model([], {"x": shape, **({"z": shape} if z else {})}, [], {"w": weights(4, 4, 3, 3, 3), "b": weights(4)})
    proto.graph.node.append(conv)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape))
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return proto


def shortened() -> onnx.ModelProto:
    """The frames of the result that are farthest out see nothing but padding."""
    return clip((1, 3, 3), 2, pads=[2, 1, 1, 2, 1, 1])


SAMPLES: dict[str, Sample] = {
    "3x3x3": clip,
    "no-bias": lambda: clip(bias=False),
    "space-only": lambda: clip((1, 3, 3)),
    "time-only": lambda: clip((3, 1, 1)),
    "pointwise": lambda: clip((1, 1, 1), 3, filters=8),
    "strides": lambda: clip(strides=[2, 2, 1], frames=5),
    "dilations": lambda: clip(dilations=[2, 1, 2], frames=6, pads=[2, 1, 2, 2, 1, 2]),
    "unpadded": lambda: clip(pads=[0] * 6),
    "uneven-pads": lambda: clip(pads=[2, 0, 1, 0, 1, 2]),
    "shorter-than-the-kernel": lambda: clip(frames=2),
    "depthwise": lambda: clip(group=4),
    "stem": lambda: clip(channels=3, filters=8, strides=[1, 2, 2]),
    "relu": lambda: fused(z=False),
    "residual": lambda: fused(z=True),
}

DECLINES: dict[str, Sample] = {
    "the number of frames is open": lambda: clip(frames="T"),
    "auto_pad is set": lambda: clip(auto_pad="SAME_UPPER"),
    "the weight or bias is not constant": lambda: overridable(clip(), "w"),
    "the weight or bias is not": lambda: overridable(clip(), "b"),
    "needs float32": lambda: to_float16(clip()),
    "do not fit the engine's blocked layout": lambda: clip(channels=8, filters=8, group=2),
    "a frame of the result sees padding alone": shortened,
    "convolutions of frames": lambda: clip((9, 1, 1), 32, pads=[4, 0, 0, 4, 0, 0]),
}


def images() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": np.ones((4, 4, 3, 3), np.float32)})


LEAVES: dict[str, Sample] = {"images": images}
