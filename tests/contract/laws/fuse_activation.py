"""Graphs for fuse-activation."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, conv_relu, residual
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def broadcast_residual() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Add", "c z", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6], "z": ["batch", 4, 1, 1]}, ["y"], {"w": weights(4, 4, 3, 3)})


def unrelated_batch_residual() -> onnx.ModelProto:
    """Two symbols that may be 1 and n: Add would broadcast, FusedConv would not."""
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Add", "c z", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": ["n", 4, 6, 6], "z": ["m", 4, 6, 6]}, ["y"], {"w": weights(4, 4, 3, 3)})


def through_a_pad() -> onnx.ModelProto:
    """ResNet's shortcut without parameters: of every other position, with channels of zeros added."""
    constants = {"v": weights(4, 4, 1, 1), "w": weights(8, 4, 3, 3), "pads": np.array([0, 0, 0, 0, 0, 4, 0, 0])}
    nodes = [
        node("Conv", "x v", "h"),
        node("MaxPool", "h", "p", kernel_shape=[1, 1], strides=[2, 2]),
        node("Pad", "p pads", "z"),
        node("Conv", "h w", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Add", "c z", "a"),
        node("Relu", "a", "y"),
    ]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def gated_sum() -> onnx.ModelProto:
    """A squeeze-and-excitation block with a projection: its product is broadcast, which is done out of blocks."""
    constants = {"v": weights(4, 4, 1, 1), "g": weights(4, 4, 1, 1), "p": weights(4, 4, 1, 1)}
    nodes = [
        node("Conv", "x v", "h"),
        node("GlobalAveragePool", "h", "m"),
        node("Conv", "m g", "e"),
        node("Sigmoid", "e", "s"),
        node("Mul", "h s", "z"),
        node("Conv", "x p", "c"),
        node("Add", "c z", "a"),
        node("Relu", "a", "y"),
    ]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def joined() -> onnx.ModelProto:
    """A residual of parts that are no whole blocks (GhostNet's): the engine joins them in plain order."""
    constants = {"v": weights(4, 4, 1, 1), "w": weights(8, 4, 3, 3)}
    nodes = [
        node("Conv", "x v", "h"),
        node("Concat", "h h", "z", axis=1),
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Add", "c z", "a"),
        node("Relu", "a", "y"),
    ]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def doubled() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Add", "c c", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": [1, 4, 6, 6]}, ["y"], {"w": weights(4, 4, 3, 3)})


SAMPLES: dict[str, Sample] = {
    "conv-1d": lambda: conv_relu(1),
    "conv-2d": lambda: conv_relu(2),
    "conv-3d": lambda: conv_relu(3),
    "no-bias": lambda: conv_relu(bias=False),
    "grouped": lambda: conv_relu(groups=2),
    "residual": residual,
    "residual-bias": lambda: residual(bias=True),
    "residual-swapped": lambda: residual(swapped=True),
    "residual-projection": lambda: residual(projection=True),
}

DECLINES: dict[str, Sample] = {
    "another node reads the convolution": lambda: expose(conv_relu(), "c"),
    "another node reads the sum": lambda: expose(residual(), "a"),
    "needs float32": lambda: to_float16(conv_relu()),
    "is not constant": lambda: overridable(conv_relu(), "w"),
    "exactly the output's shape": broadcast_residual,
    "residual does not have exactly": unrelated_batch_residual,
    "same convolution": doubled,
    "is not in the engine's blocked layout": lambda: residual(stem=False),
    "the residual is not in the engine's blocked": through_a_pad,
    "residual is not in the engine's blocked layout": gated_sum,
    "not in the engine's blocked layout": joined,
}
