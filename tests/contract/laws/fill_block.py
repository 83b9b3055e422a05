"""Graphs for fill-block."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights


def narrow(channels: int = 8, f: str = "Relu", *, bias: bool = True, group: int = 1, size: int = 6) -> onnx.ModelProto:
    """A map of few channels between two convolutions."""
    constants = {"w": weights(channels, 4, 1, 1), "v": weights(16, channels // group, 3, 3)}
    if bias:
        constants["b"] = weights(channels)
    nodes = [
        node("Conv", "x w b" if bias else "x w", "c"),
        node(f, "c", "f") if f else node("Conv", "c u", "f", group=channels),
        node("Conv", "f v", "y", group=group, pads=[1] * 4),
        node("Conv", "f v", "z", group=group, pads=[1] * 4),
    ]
    if not f:
        constants["u"] = weights(channels, 1, 3, 3)
    return model(nodes, {"x": ["batch", 4, size, size]}, ["y", "z"], constants)


def summed() -> onnx.ModelProto:
    """As split-concat leaves a sum: two narrow maps, of which one is added to the other by the convolution."""
    constants = {"w": weights(8, 4, 1, 1), "b": weights(8), "v": weights(4, 8, 1, 1)}
    nodes = [
        node("Conv", "x w b", "z"),
        node("FusedConv", "x w b z", "s", domain="com.microsoft", activation="LeakyRelu", activation_params=[0.1]),
        node("Conv", "s v", "y"),
    ]
    proto = model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return proto


def also_read() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Conv", "c v", "y"), node("Neg", "c", "z")]
    return model(nodes, {"x": [1, 4, 6, 6]}, ["y", "z"], {"w": weights(8, 4, 1, 1), "v": weights(4, 8, 1, 1)})


def depthwise_only() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Conv", "c u", "y", group=8)]
    return model(nodes, {"x": [1, 4, 6, 6]}, ["y"], {"w": weights(8, 4, 1, 1), "u": weights(8, 1, 3, 3)})


SAMPLES: dict[str, Sample] = {
    "relu": narrow,
    "leaky-relu": lambda: narrow(12, "LeakyRelu"),
    "depthwise": lambda: narrow(f=""),
    "no-bias": lambda: narrow(bias=False),
    "sum": summed,
}

DECLINES: dict[str, Sample] = {
    "seen by the caller": lambda: expose(narrow(), "f"),
    "is no convolution with constant weights": also_read,
    "no convolution with constant weights": lambda: overridable(narrow(), "v"),
}

LEAVES: dict[str, Sample] = {
    "of-a-block": lambda: narrow(16),
    "of-three": lambda: narrow(3),
    "one-pixel": lambda: narrow(size=1),
    "depthwise-only": depthwise_only,
    "read-by-no-convolution": lambda: narrow(f="Neg"),
}
