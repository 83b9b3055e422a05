"""Blocks that the samples of several laws are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from tests.contract.graphs import model, node, weights

Sample = Callable[[], onnx.ModelProto]


def batchnorm(channels: int) -> dict[str, np.ndarray]:
    """Statistics with negative and zero gammas among them."""
    gamma = weights(channels)
    gamma[0] = 0
    return {
        "gamma": gamma,
        "beta": weights(channels),
        "mean": weights(channels),
        "var": weights(channels, low=0.1, high=2.0),
    }


def conv_bn(rank: int = 2, groups: int = 1, bias: bool = True, dilation: int = 1) -> onnx.ModelProto:
    kernel, size = (3,) * rank, (7,) * rank
    constants = {"w": weights(6, 4 // groups, *kernel), **batchnorm(6)}
    if bias:
        constants["b"] = weights(6)
    conv = node(
        "Conv",
        "x w b" if bias else "x w",
        "c",
        group=groups,
        pads=[1] * 2 * rank,
        dilations=[dilation] * rank,
    )
    bn = node("BatchNormalization", "c gamma beta mean var", "y", epsilon=1e-3)
    return model([conv, bn], {"x": ["batch", 4, *size]}, ["y"], constants)


def conv_relu(rank: int = 2, bias: bool = True, groups: int = 1) -> onnx.ModelProto:
    constants = {"w": weights(6, 4 // groups, *(3,) * rank), **({"b": weights(6)} if bias else {})}
    conv = node("Conv", "x w b" if bias else "x w", "c", group=groups, strides=[2] * rank)
    return model([conv, node("Relu", "c", "y")], {"x": ["batch", 4, *(9,) * rank]}, ["y"], constants)


def residual(bias: bool = False, swapped: bool = False, projection: bool = False, stem: bool = True) -> onnx.ModelProto:
    """A block whose shortcut is a convolution's result, or (without a stem) the input of the graph."""
    constants = {"w": weights(4, 4, 3, 3), **({"b": weights(4)} if bias else {})}
    nodes = []
    if stem:
        constants["v"] = weights(4, 4, 1, 1)
        nodes.append(node("Conv", "x v", "h"))
    shortcut = "h" if stem else "x"
    inputs = f"{shortcut} w b" if bias else f"{shortcut} w"
    nodes.append(node("Conv", inputs, "c", pads=[1, 1, 1, 1]))
    if projection:
        constants["p"] = weights(4, 4, 1, 1)
        nodes.append(node("Conv", f"{shortcut} p", "s"))
        shortcut = "s"
    nodes.append(node("Add", f"{shortcut} c" if swapped else f"c {shortcut}", "a"))
    nodes.append(node("Relu", "a", "y"))
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def noop(op: str, inputs: str = "r", constants: dict[str, np.ndarray] | None = None, **attributes: object) -> Sample:
    """Relu, the operator that does nothing, Neg."""

    def build() -> onnx.ModelProto:
        nodes = [node("Relu", "x", "r"), node(op, inputs, "n", **attributes), node("Neg", "n", "y")]
        return model(nodes, {"x": ["batch", 3, 4, 4]}, ["y"], constants or {})

    return build
