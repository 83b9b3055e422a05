"""Graphs for linear-to-conv."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def linear(
    f: str | None = "Relu",
    *,
    shape: Sequence[int | str] = ("batch", 5, 3, 4),
    columns: int = 8,
    bias: str = "m b",
    perm: Sequence[int] = (0, 3, 1, 2),
    constants: dict[str, np.ndarray] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """(N, H, W, C) through a linear layer, its activation `f` if any, and a Transpose."""
    channels = shape[-1]
    assert isinstance(channels, int)
    constants = {"w": weights(channels, columns), "b": weights(columns), **(constants or {})}
    nodes, value = [node("MatMul", "x w", "m")], "m"
    if bias:
        nodes.append(node("Add", bias, "a"))
        value = "a"
    else:
        del constants["b"]
    if f:
        nodes.append(node(f, f"{value} low high" if f == "Clip" else value, "f", **attributes))
        value = "f"
    nodes.append(node("Transpose", value, "y", perm=list(perm)))
    return model(nodes, {"x": shape}, ["y"], constants)


def of_a_residual() -> onnx.ModelProto:
    nodes = [node("MatMul", "x w", "m"), node("Add", "m x", "a"), node("Transpose", "a", "y", perm=[0, 3, 1, 2])]
    return model(nodes, {"x": ["batch", 5, 3, 4]}, ["y"], {"w": weights(4, 4)})


def of_two_results() -> onnx.ModelProto:
    nodes = [node("MatMul", "x z", "m"), node("Transpose", "m", "y", perm=[0, 3, 1, 2])]
    return model(nodes, {"x": ["batch", 5, 3, 4], "z": [4, 8]}, ["y"])


def weight_first() -> onnx.ModelProto:
    nodes = [node("MatMul", "w x", "m"), node("Transpose", "m", "y", perm=[0, 3, 1, 2])]
    return model(nodes, {"x": ["batch", 5, 3, 4]}, ["y"], {"w": weights(8, 3)})


def clipped_by_a_result() -> onnx.ModelProto:
    nodes = [
        node("MatMul", "x w", "m"),
        node("ReduceMin", "x", "low", keepdims=0),
        node("Clip", "m low", "f"),
        node("Transpose", "f", "y", perm=[0, 3, 1, 2]),
    ]
    return model(nodes, {"x": ["batch", 5, 3, 4]}, ["y"], {"w": weights(4, 8)})


SAMPLES: dict[str, Sample] = {
    "relu": linear,
    "gelu": lambda: linear("Gelu"),
    "leaky-relu": lambda: linear("LeakyRelu", alpha=0.3),
    "clip": lambda: linear("Clip", constants={"low": np.float32(-0.5), "high": np.float32(0.5)}),
    "nothing-between": lambda: linear(None),
    "no-bias": lambda: linear(bias=""),
    "bias-left": lambda: linear(bias="b m"),
    "bias-number": lambda: linear(constants={"b": weights(1)}),
    "bias-full-rank": lambda: linear(constants={"b": weights(1, 1, 1, 8)}),
    "open-sizes": lambda: linear(shape=("batch", "h", "w", 4)),
    "many-channels": lambda: linear(shape=("batch", 5, 3, 16), columns=32),
}

DECLINES: dict[str, Sample] = {
    "another node reads the linear layer": lambda: expose(linear(), "m"),
    "node reads the linear layer": lambda: expose(linear(), "a"),
    "reads the linear layer": lambda: expose(linear(), "f"),
    "the weight or bias is not constant": lambda: overridable(linear(), "w"),
    "weight or bias is not constant": lambda: overridable(linear(), "b"),
    "the bias is not per column": lambda: linear(constants={"b": weights(3, 1)}),
    "of float32, not float16": lambda: to_float16(linear()),
    "do not fit the engine's blocked layout": lambda: linear(columns=6),
    "not fit the engine's blocked layout": lambda: linear(shape=("batch", 5, 3, 10)),
}

LEAVES: dict[str, Sample] = {
    "moved otherwise": lambda: linear(perm=(0, 3, 2, 1)),
    "rank 3": lambda: linear(shape=("batch", 5, 4), perm=(0, 2, 1)),
    "a matrix for each position": lambda: linear(constants={"w": weights(5, 4, 8)}),
    "a residual": of_a_residual,
    "a product of two results": of_two_results,
    "the weight first": weight_first,
    "a bound that is computed": clipped_by_a_result,
}
