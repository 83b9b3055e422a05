"""Graphs for fold-layer-scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def layer(
    op: str = "Mul",
    inputs: str = "_ s",
    scale: tuple[int, ...] = (6, 1, 1),
    bias: str = "m b",
    perm: Sequence[int] = (0, 3, 1, 2),
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """(batch, 5, 3, 4) through a linear layer to 6 columns, moved by `perm` if any, and scaled."""
    constants = {"w": weights(4, 6), "b": weights(6), "s": weights(*scale, low=0.5, high=2), **(constants or {})}
    nodes, value = [node("MatMul", "x w", "m")], "m"
    if bias:
        nodes.append(node("Add", bias, "a"))
        value = "a"
    else:
        del constants["b"]
    if perm:
        nodes.append(node("Transpose", value, "t", perm=list(perm)))
        value = "t"
    nodes.append(node(op, inputs.replace("_", value), "y"))
    return model(nodes, {"x": ["batch", 5, 3, 4]}, ["y"], constants)


def of_vectors() -> onnx.ModelProto:
    """Rank 2: fold-scale's."""
    nodes = [node("MatMul", "x w", "m"), node("Mul", "m s", "y")]
    return model(nodes, {"x": ["batch", 4]}, ["y"], {"w": weights(4, 6), "s": weights(6)})


def of_a_residual() -> onnx.ModelProto:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m x", "a"), node("Mul", "a s", "y")]
    return model(nodes, {"x": ["batch", 5, 4]}, ["y"], {"w": weights(4, 4), "s": weights(4)})


def batched() -> onnx.ModelProto:
    """A matrix for each of 5 positions."""
    nodes = [node("MatMul", "x w", "m"), node("Mul", "m s", "y")]
    return model(nodes, {"x": ["batch", 5, 3, 4]}, ["y"], {"w": weights(5, 4, 6), "s": weights(6)})


def huge(value: float) -> dict[str, np.ndarray]:
    return {"w": np.full((4, 6), value, np.float32), "s": np.full((6, 1, 1), value, np.float32)}


SAMPLES: dict[str, Sample] = {
    "convnext": layer,
    "scale-left": lambda: layer(inputs="s _"),
    "bias-left": lambda: layer(bias="b m"),
    "no-bias": lambda: layer(bias=""),
    "bias-number": lambda: layer(constants={"b": weights(1)}),
    "not-moved": lambda: layer(scale=(6,), perm=()),
    "number": lambda: layer(scale=()),
    "div": lambda: layer("Div"),
    "full-rank": lambda: layer(scale=(1, 6, 1, 1)),
}

DECLINES: dict[str, Sample] = {
    "another node reads the linear layer": lambda: expose(layer(), "a"),
    "node reads the linear layer": lambda: expose(layer(), "t"),
    "reads the linear layer": lambda: expose(layer(), "m"),
    "of shape (5, 1) is not per channel": lambda: layer(scale=(5, 1)),
    "of shape (3,) is not per channel": lambda: layer(scale=(3,), perm=(0, 1, 3, 2)),
    "may be overridden": lambda: overridable(layer(), "s"),
    "the weight or bias is not constant": lambda: overridable(layer(), "w"),
    "weight or bias is not constant": lambda: overridable(layer(), "b"),
    "the bias is not per column": lambda: layer(constants={"b": weights(3, 1)}),
    "a divisor is zero": lambda: layer("Div", constants={"s": np.zeros((6, 1, 1), np.float32)}),
    "does not fit float16": lambda: to_float16(layer(constants=huge(3e2))),
}

LEAVES: dict[str, Sample] = {
    "rank 2": of_vectors,
    "a residual": of_a_residual,
    "a matrix for each position": batched,
    "a number over it": lambda: layer("Div", "s _", scale=()),
}
