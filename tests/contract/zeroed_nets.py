"""Networks with channels of zeros: what a scale of zero leaves, with everything that may read them."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.graphs import model, node, weights


def zeroed(array: np.ndarray, *channels: int, axis: int = 0) -> np.ndarray:
    """The array with `channels` of `axis` set to zero."""
    array = array.copy()
    array[(slice(None),) * axis + (list(channels),)] = 0
    return array


def residual(
    first: tuple[int, ...] = (1, 4), second: tuple[int, ...] = (1, 4), reader: str = "Conv"
) -> onnx.ModelProto:
    """Relu(Conv(x) + Conv(Conv(x))), read by one more: channels that are zero on both sides."""
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), *first),
        "v": zeroed(weights(6, 6, 3, 3), *second),
        "u": weights(5, 6, 1, 1),
        "b": weights(6),
    }
    nodes = [
        node("Conv", "x w", "s", pads=[1, 1, 1, 1]),
        node("Conv", "s v b", "c", pads=[1, 1, 1, 1]),
        node("Add", "c s", "a"),
        node("Relu", "a", "r"),
        node("Conv", "r u", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def classifier(flat: str = "Flatten", trans_b: int = 1, alpha: float = 0.5) -> onnx.ModelProto:
    """Conv, MaxPool, columns, Gemm: each channel is four of the columns."""
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), 1, 4),
        "b": weights(6),
        "m": weights(5, 24) if trans_b else weights(24, 5),
        "k": weights(5),
        "target": np.array([-1, 24]),
    }
    nodes = [
        node("Conv", "x w b", "a"),
        node("MaxPool", "a", "p", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0]),
        node("Flatten", "p", "f") if flat == "Flatten" else node("Reshape", "p target", "f"),
        node("Gemm", "f m k", "y", transB=trans_b, alpha=alpha, beta=2.0),
    ]
    return model(nodes, {"x": ["batch", 3, 5, 5]}, ["y"], constants)


def perceptron() -> onnx.ModelProto:
    """MatMul, Add, Relu, MatMul: columns 1 and 4 are zero."""
    constants = {"w": zeroed(weights(3, 6), 1, 4, axis=1), "b": weights(6), "v": weights(6, 5)}
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "s"), node("Relu", "s", "r"), node("MatMul", "r v", "y")]
    return model(nodes, {"x": ["batch", 3]}, ["y"], constants)


def transposed(bias: bool = False) -> onnx.ModelProto:
    """Two ConvTransposes: without a bias in the first its empty filters give 0."""
    constants = {"w": zeroed(weights(3, 6, 2, 2), 1, 4, axis=1), "v": weights(6, 5, 3, 3), "b": weights(6)}
    nodes = [
        node("ConvTranspose", "x w b" if bias else "x w", "a", strides=[2, 2]),
        node("LeakyRelu", "a", "r"),
        node("ConvTranspose", "r v", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 4, 4]}, ["y"], constants)


def squeeze_excitation() -> onnx.ModelProto:
    """A gate from the map's own means multiplies it: nothing times the gate is nothing."""
    constants = {
        "w": zeroed(weights(6, 3, 3, 3), 1, 4),
        "down": weights(2, 6, 1, 1),
        "up": weights(6, 2, 1, 1),
        "v": weights(5, 6, 3, 3),
    }
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "a", "g"),
        node("Conv", "g down", "d"),
        node("Conv", "d up", "e"),
        node("Sigmoid", "e", "s"),
        node("Mul", "a s", "t"),
        node("Conv", "t v", "y", pads=[1, 1, 1, 1]),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)
