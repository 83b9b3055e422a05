"""Graphs for merge-gemms."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def gemms(
    first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, bias: str = "bc", middle: int = 8
) -> onnx.ModelProto:
    """4 inputs, `middle` columns, 3 outputs: attributes of the two, and which of them have a bias."""
    first, second = first or {}, second or {}
    constants = {
        "w": weights(middle, 4) if first.get("transB") else weights(4, middle),
        "v": weights(3, middle) if second.get("transB") else weights(middle, 3),
        **({"b": weights(middle)} if "b" in bias else {}),
        **({"c": weights(1, 3)} if "c" in bias else {}),
    }
    nodes = [
        node("Gemm", "x w b" if "b" in bias else "x w", "h", **first),
        node("Gemm", "h v c" if "c" in bias else "h v", "y", **second),
    ]
    return model(nodes, {"x": [4, 2] if first.get("transA") else ["batch", 4]}, ["y"], constants)


def after_matmul(bias: bool) -> onnx.ModelProto:
    constants = {"w": weights(4, 8), "v": weights(3, 8), "c": weights(3), **({"b": weights(8)} if bias else {})}
    nodes = [node("MatMul", "x w", "m"), *([node("Add", "m b", "h")] if bias else [])]
    nodes.append(node("Gemm", "h v c" if bias else "m v c", "y", transB=1))
    return model(nodes, {"x": ["batch", 4]}, ["y"], constants)


def column_bias(name: str) -> onnx.ModelProto:
    constants = {"w": weights(4, 8), "b": weights(8), "v": weights(8, 3), "c": weights(3), name: weights(2, 1)}
    return model([node("Gemm", "x w b", "h"), node("Gemm", "h v c", "y")], {"x": [2, 4]}, ["y"], constants)


def result_transposed() -> onnx.ModelProto:
    constants = {"w": weights(4, 8), "v": weights(2, 3)}
    return model([node("Gemm", "x w", "h"), node("Gemm", "h v", "y", transA=1)], {"x": [2, 4]}, ["y"], constants)


def large() -> onnx.ModelProto:
    constants = {"w": np.full((4, 8), 3e2, np.float32), "v": np.full((8, 3), 3e2, np.float32)}
    return model([node("Gemm", "x w", "h"), node("Gemm", "h v", "y")], {"x": [2, 4]}, ["y"], constants)


def result_as_weight() -> onnx.ModelProto:
    nodes = [node("Gemm", "x w", "h"), node("Gemm", "x h", "y")]
    return model(nodes, {"x": [4, 4]}, ["y"], {"w": weights(4, 4)})


def across_an_activation() -> onnx.ModelProto:
    nodes = [node("Gemm", "x w", "h"), node("Relu", "h", "r"), node("Gemm", "r v", "y")]
    return model(nodes, {"x": [2, 4]}, ["y"], {"w": weights(4, 8), "v": weights(8, 3)})


SAMPLES: dict[str, Sample] = {
    "plain": gemms,
    "transposed-weights": lambda: gemms({"transB": 1}, {"transB": 1}),
    "first-weight-transposed": lambda: gemms({"transB": 1}),
    "second-weight-transposed": lambda: gemms(second={"transB": 1}),
    "input-transposed": lambda: gemms({"transA": 1}),
    "factors": lambda: gemms({"alpha": 0.5, "beta": 2.0}, {"alpha": 1.5, "beta": 0.25, "transB": 1}),
    "no-bias": lambda: gemms(bias=""),
    "first-bias": lambda: gemms(bias="b"),
    "second-bias": lambda: gemms({"alpha": 2.0}, {"beta": 3.0}, bias="c"),
    "matmul": lambda: after_matmul(bias=False),
    "matmul-add": lambda: after_matmul(bias=True),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Gemm": lambda: expose(gemms(), "h"),
    "4 x 3 MACs are not fewer than 7 x 1": lambda: gemms(middle=1),
    "the result of the first Gemm is transposed": result_transposed,
    "bias of shape (2, 1) is not per output": lambda: column_bias("b"),
    "of shape (2, 1) is not per output": lambda: column_bias("c"),
    "the weight or bias is not constant": lambda: overridable(gemms(), "w"),
    "weight or bias is not constant": lambda: overridable(gemms(), "c"),
    "does not fit float16": lambda: to_float16(large()),
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": across_an_activation,
    "the first is the second's weight": result_as_weight,
}
