"""Graphs for pad-channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights

POOL = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}


def between(
    *nodes: onnx.NodeProto,
    channels: int = 15,
    kernel: Sequence[int] = (3, 3),
    constants: dict[str, np.ndarray] | None = None,
    frames: int | str = 3,
    bias: bool = True,
    first: str = "Conv",
) -> onnx.ModelProto:
    """`first` makes c of `channels`, `nodes` make r of it, a convolution reads r."""
    shape = (channels, 3, *kernel) if first == "Conv" else (3, channels, *kernel)
    every = {"w": weights(*shape), "v": weights(5, channels, *kernel), **(constants or {})}
    if bias:
        every["b"] = weights(channels)
    pads = [size // 2 for size in kernel] * 2
    whole = [
        node(first, "x w b" if bias else "x w", "c", pads=pads),
        *(nodes or [node("Relu", "c", "r")]),
        node("Conv", "r v", "y", pads=pads),
    ]
    spatial = (6, 7)[: len(kernel)] if len(kernel) < 3 else (frames, 6, 7)
    return model(whole, {"x": ["batch", 3, *spatial], "z": ["batch", channels, *spatial]}, ["y"], every)


def activation(op: str, **attributes: object) -> Sample:
    return lambda: between(node(op, "c", "r", **attributes))


def residual() -> onnx.ModelProto:
    """Two convolutions on a stream of 15 channels, each block's result added to it."""
    constants = {"w": weights(15, 3, 3, 3), "v": weights(15, 15, 3, 3), "b": weights(15), "u": weights(5, 15, 1, 1)}
    nodes = [
        node("Conv", "x w b", "s", pads=[1, 1, 1, 1]),
        node("Conv", "s v b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Add", "r s", "a"),
        node("Conv", "a u", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def head(op: str = "Flatten", trans_b: int = 1, **attributes: object) -> onnx.ModelProto:
    """The stream is read by a convolution, and pooled by a classifier."""
    matrix, target = weights(5, 15), {"Reshape": [-1, 15], "Squeeze": [2, 3]}.get(op)
    constants = {"w": weights(15, 3, 3, 3), "v": weights(4, 15, 1, 1), "m": matrix if trans_b else matrix.T.copy()}
    if target is not None:
        constants["t"] = np.array(target)
    nodes = [
        node("Conv", "x w", "c"),
        node("Conv", "c v", "y"),
        node("GlobalAveragePool", "c", "p"),
        node(op, "p t" if target is not None else "p", "f", **attributes),
        node("Gemm", "f m", "z", transB=trans_b),
    ]
    return model(nodes, {"x": ["batch", 3, 6, 6]}, ["y", "z"], constants)


def gated() -> onnx.ModelProto:
    """Squeeze and excitation: the gate has the channels of the map."""
    constants = {"w": weights(15, 3, 3, 3), "down": weights(4, 15, 1, 1), "up": weights(15, 4, 1, 1)}
    constants["v"] = weights(5, 15, 1, 1)
    nodes = [
        node("Conv", "x w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Conv", "p down", "d"),
        node("Relu", "d", "e"),
        node("Conv", "e up", "q"),
        node("Sigmoid", "q", "s"),
        node("Mul", "c s", "t"),
        node("Conv", "t v", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 6, 6]}, ["y"], constants)


def grouped() -> onnx.ModelProto:
    constants = {"w": weights(30, 3, 3, 3), "g": weights(30, 15, 3, 3), "v": weights(5, 30, 1, 1)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Conv", "c g", "h", group=2),
        node("Conv", "c v", "y"),
        node("Relu", "h", "z"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y", "z"], constants)


def from_columns() -> onnx.ModelProto:
    """The columns of 15 channels of 2x2 pixels."""
    constants = {"w": weights(15, 3, 1, 1), "v": weights(4, 15, 1, 1), "m": weights(60, 5)}
    nodes = [
        node("Conv", "x w", "c"),
        node("Conv", "c v", "y"),
        node("Flatten", "c", "f"),
        node("Gemm", "f m", "z"),
    ]
    return model(nodes, {"x": ["batch", 3, 2, 2]}, ["y", "z"], constants)


def depthwise(channels: int = 15) -> onnx.ModelProto:
    constants = {"d": weights(channels, 1, 3, 3), "e": weights(channels)}
    return between(node("Conv", "c d e", "r", group=channels, pads=[1] * 4), channels=channels, constants=constants)


def widened_depthwise() -> onnx.ModelProto:
    """Two results of each channel."""
    constants = {"w": weights(15, 3, 1, 1), "d": weights(30, 1, 3, 3), "v": weights(4, 30, 1, 1)}
    nodes = [node("Conv", "x w", "c"), node("Conv", "c d", "r", group=15), node("Conv", "r v", "y")]
    return model(nodes, {"x": ["batch", 3, 6, 6]}, ["y"], constants)


def operand(op: str, low: float = -1.0) -> Sample:
    """A constant of one number a channel."""
    return lambda: between(node(op, "c k", "r"), constants={"k": weights(15, 1, 1, low=low, high=2.0)})


SAMPLES: dict[str, Sample] = {
    "images": between,
    "clips": lambda: between(kernel=(3, 3, 3)),
    "no-bias": lambda: between(bias=False),
    "three-more": lambda: between(channels=29),
    "conv-transpose": lambda: between(first="ConvTranspose"),
    "sigmoid": activation("Sigmoid"),
    "hard-swish": activation("HardSwish"),
    "gelu": activation("Gelu"),
    "leaky-relu": activation("LeakyRelu"),
    "clip": lambda: between(node("Clip", "c low", "r"), constants={"low": np.array(0.5, np.float32)}),
    "max-pool": activation("MaxPool", **POOL),
    "average-pool": activation("AveragePool", **POOL),
    "residual": residual,
    "depthwise": depthwise,
    "batch-normalization": lambda: between(
        node("BatchNormalization", "c gamma beta mean var", "r"), constants=batchnorm(15)
    ),
    "prelu": operand("PRelu"),
    "scale": operand("Mul"),
    "gate": gated,
    "flatten": head,
    "reshape": lambda: head("Reshape"),
    "squeeze": lambda: head("Squeeze", trans_b=0),
}

DECLINES: dict[str, Sample] = {
    "the caller sees": lambda: expose(between(), "c"),
    "the weight or bias is not constant": lambda: overridable(residual(), "w"),
    "its groups would become unequal": grouped,
    "is not computed": lambda: between(node("Add", "c z", "r")),
    "does not keep the channels apart": lambda: between(node("LRN", "c", "l", size=3), node("Add", "c l", "r")),
    "Concat 'Concat_r' takes no more channels": lambda: between(
        node("Concat", "c c", "r", axis=1), constants={"v": weights(5, 30, 3, 3)}
    ),
    "Div 'Div_r' takes no more channels": operand("Div", low=0.5),
    "Sqrt 'Sqrt_r' takes no more channels": activation("Sqrt"),
    "changes the number of channels": from_columns,
    "the number of frames is open": lambda: between(kernel=(3, 3, 3), frames="T"),
    "whole blocks of 33 channels would compute 15 in vain": lambda: between(channels=33),
}

LEAVES: dict[str, Sample] = {
    "a multiple of four": lambda: between(channels=12),
    "fewer than half a block": lambda: between(channels=6),
    "signals": lambda: between(kernel=(3,)),
    "float16": lambda: to_float16(between()),
}
