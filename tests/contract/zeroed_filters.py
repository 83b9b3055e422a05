"""Chains of convolutions with filters of zeros, or scales of zero, in every arrangement that prune-constant meets."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm
from tests.contract.graphs import model, node, weights
from tests.contract.zeroed_nets import zeroed


def conv_relu_conv(rank: int = 2, pad: int = 0, bias: tuple[float, ...] = (-1, 2, 0.5, 0.3, -2, 1)) -> onnx.ModelProto:
    """Filters 1 and 4 of six are zero; what follows them is Relu of the bias: 2 and 0."""
    constants = {
        "w": zeroed(weights(6, 3, *(3,) * rank), 1, 4),
        "b": np.array(bias, np.float32),
        "v": weights(5, 6, *(3,) * rank),
        "c": weights(5),
    }
    nodes = [
        node("Conv", "x w b", "a"),
        node("Relu", "a", "r"),
        node("Conv", "r v c", "y", pads=[pad] * 2 * rank),
    ]
    return model(nodes, {"x": ["batch", 3, *(7,) * rank]}, ["y"], constants)


def between(*nodes: onnx.NodeProto, channels: int = 6, last: str = "Conv", **constants: np.ndarray) -> Sample:
    """Conv x -> a with filters 1 and 4 of zero and no bias, the nodes a -> t, and what reads t."""

    def build() -> onnx.ModelProto:
        kernels = {"w": zeroed(weights(6, 3, 3, 3), 1, 4), "v": weights(5, channels, 3, 3)}
        every = [node("Conv", "x w", "a"), *nodes, node(last, "t v", "y")]
        return model(every, {"x": ["batch", 3, 9, 9]}, ["y"], kernels | constants)

    return build


def conv_bn_conv(beta_of_zeros: float = 0.0, pad: int = 1, relu: bool = True) -> onnx.ModelProto:
    """Gammas 0, 2 and 3 of six are zero."""
    statistics = batchnorm(6)
    statistics["gamma"] = np.array([0, 1, 0, 0, -2, 1], np.float32)
    statistics["beta"][[0, 2, 3]] = beta_of_zeros
    constants = {"w": weights(6, 3, 3, 3), "v": weights(5, 6, 3, 3), **statistics}
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a gamma beta mean var", "n"),
        node("Relu" if relu else "Neg", "n", "r"),
        node("Conv", "r v", "y", pads=[pad] * 4, strides=[2, 2]),
    ]
    return model(nodes, {"x": ["batch", 3, 9, 9]}, ["y"], constants)


def depthwise(bias: bool = False, pad: int = 1, multiplier: int = 1) -> onnx.ModelProto:
    outputs = 6 * multiplier
    constants = {
        "w": zeroed(weights(6, 3, 1, 1), 1, 4),
        "d": weights(outputs, 1, 3, 3),
        "v": weights(5, outputs, 1, 1),
        **({"b": weights(outputs)} if bias else {}),
    }
    nodes = [
        node("Conv", "x w", "a"),
        node("Conv", "a d b" if bias else "a d", "t", group=6, pads=[pad] * 4),
        node("Conv", "t v", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def concatenated() -> onnx.ModelProto:
    """Two branches side by side: channel 4 of the first, and channel 1 of the second, which has the number 6 + 1."""
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), 4),
        "u": zeroed(weights(4, 3, 3, 3), 1),
        "b": weights(4),
        "v": weights(5, 10, 3, 3),
    }
    nodes = [
        node("Conv", "x w", "a"),
        node("Conv", "x u b", "c"),
        node("Concat", "a c", "t", axis=1),
        node("Relu", "t", "r"),
        node("Conv", "r v", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def two_padded_readers() -> onnx.ModelProto:
    """Channels 0, 2 and 3 are constants, of which one reader sees the largest in 0, the other in 3."""
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), 0, 2, 3),
        "b": np.array([2, 0, 1, 0.5, 0, 0], np.float32),
        "k": np.array([0.1, 1, 0.2, 5, 1, 1], np.float32).reshape(6, 1, 1),
        "v": weights(5, 6, 3, 3),
    }
    nodes = [
        node("Conv", "x w b", "a"),
        node("Conv", "a v", "y", pads=[1, 1, 1, 1]),
        node("Mul", "a k", "m"),
        node("Conv", "m v", "z", pads=[1, 1, 1, 1]),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y", "z"], constants)


def one_padded_constant() -> onnx.ModelProto:
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), 1),
        "b": np.ones(6, np.float32),
        "v": weights(5, 6, 3, 3),
    }
    nodes = [node("Conv", "x w b", "a"), node("Conv", "a v", "y", pads=[1, 1, 1, 1])]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def shared_reader() -> onnx.ModelProto:
    """Two convolutions read the map."""
    proto = conv_relu_conv()
    proto.graph.node.append(node("Conv", "r v", "z"))
    proto.graph.output.append(next(value for value in proto.graph.output))
    proto.graph.output[-1].name = "z"
    return proto


def all_zero() -> onnx.ModelProto:
    constants = {"w": np.zeros((6, 3, 3, 3), np.float32), "b": weights(6), "v": weights(5, 6, 3, 3)}
    nodes = [node("Conv", "x w b", "a"), node("Conv", "a v", "y")]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def one_zero_channel() -> onnx.ModelProto:
    constants = {"w": np.zeros((1, 3, 3, 3), np.float32), "b": weights(1), "v": weights(5, 1, 3, 3)}
    nodes = [node("Conv", "x w b", "a"), node("Conv", "a v", "y")]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def grouped(first: bool) -> onnx.ModelProto:
    constants = {"w": zeroed(weights(6, 1 if first else 3, 3, 3), 1, 4), "v": weights(4, 6 if first else 3, 3, 3)}
    nodes = [node("Conv", "x w", "a", group=3 if first else 1), node("Conv", "a v", "y", group=1 if first else 2)]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def no_zeros() -> onnx.ModelProto:
    constants = {"w": weights(6, 3, 3, 3), "v": weights(5, 6, 3, 3)}
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "r"), node("Conv", "r v", "y")]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)
