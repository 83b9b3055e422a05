"""Graphs for fold-scale."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def scaled(
    op: str = "Mul",
    inputs: str = "c s",
    shape: tuple[int, ...] = (6, 1, 1),
    rank: int = 2,
    **attributes: object,
) -> onnx.ModelProto:
    """A factor after a Conv with 4 inputs and 6 outputs; negative factors among them."""
    groups = attributes.get("group", 1)
    assert isinstance(groups, int)
    factor = np.where(weights(*shape) < 0, -1, 1).astype(np.float32) * weights(*shape, low=0.5, high=2)
    constants = {"w": weights(6, 4 // groups, *(3,) * rank), "b": weights(6), "s": factor}
    nodes = [node("Conv", "x w b", "c", pads=[1] * 2 * rank, **attributes), node(op, inputs, "y")]
    return model(nodes, {"x": ["batch", 4, *(6,) * rank]}, ["y"], constants)


def scaled_by(factor: np.ndarray, op: str = "Mul", inputs: str = "c s") -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node(op, inputs, "y")]
    return model(nodes, {"x": ["batch", 4, 6, 8]}, ["y"], {"w": weights(6, 4, 3, 3), "s": factor})


def negated() -> onnx.ModelProto:
    nodes = [node("Conv", "x w b", "c"), node("Neg", "c", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": weights(6, 4, 3, 3), "b": weights(6)})


def transposed(groups: int = 1, rank: int = 2) -> onnx.ModelProto:
    constants = {"w": weights(4, 6 // groups, *(3,) * rank), "b": weights(6), "s": weights(6, *(1,) * rank)}
    nodes = [node("ConvTranspose", "x w b", "c", group=groups, strides=[2] * rank), node("Mul", "c s", "y")]
    return model(nodes, {"x": ["batch", 4, *(4,) * rank]}, ["y"], constants)


def gemm(shape: tuple[int, ...] = (6,), trans_b: int = 1) -> onnx.ModelProto:
    constants = {"w": weights(6, 4) if trans_b else weights(4, 6), "b": weights(1, 6), "s": weights(*shape)}
    nodes = [node("Gemm", "x w b", "c", transB=trans_b, alpha=0.5, beta=2.0), node("Mul", "c s", "y")]
    return model(nodes, {"x": ["batch", 4]}, ["y"], constants)


def matmul(bias: bool = True) -> onnx.ModelProto:
    constants = {"w": weights(4, 6), "s": weights(6), **({"b": weights(6)} if bias else {})}
    nodes = [node("MatMul", "x w", "m"), *([node("Add", "b m", "c")] if bias else [])]
    nodes.append(node("Mul", "c s" if bias else "m s", "y"))
    return model(nodes, {"x": ["batch", 4]}, ["y"], constants)


def tied() -> onnx.ModelProto:
    """One weight, two convolutions: the factor of one must not reach the other."""
    nodes = [node("Conv", "x w", "c"), node("Mul", "c s", "y"), node("Conv", "x w", "z")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y", "z"], {"w": weights(6, 4, 3, 3), "s": weights(6, 1, 1)})


def beyond(factor: float) -> onnx.ModelProto:
    """Weights of 2 and more, times `factor`."""
    constants = {"w": weights(6, 4, 3, 3, low=2, high=4), "s": np.full((6, 1, 1), factor, np.float32)}
    nodes = [node("Conv", "x w", "c"), node("Mul", "c s", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 8]}, ["y"], constants)


def gated() -> onnx.ModelProto:
    """Squeeze and excitation: the factor is computed."""
    nodes = [node("Conv", "x w", "c"), node("GlobalAveragePool", "c", "g"), node("Mul", "c g", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": weights(6, 4, 3, 3)})


def after_an_activation() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Mul", "r s", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": weights(6, 4, 3, 3), "s": weights(6, 1, 1)})


def sequence() -> onnx.ModelProto:
    """At rank 3 the columns of a MatMul are the last axis, and Gemm cannot say it."""
    nodes = [node("MatMul", "x w", "c"), node("Mul", "c s", "y")]
    return model(nodes, {"x": ["batch", 3, 4]}, ["y"], {"w": weights(4, 6), "s": weights(6)})


SAMPLES: dict[str, Sample] = {
    "mul-1d": lambda: scaled(rank=1, shape=(6, 1)),
    "mul-2d": scaled,
    "mul-3d": lambda: scaled(rank=3, shape=(6, 1, 1, 1)),
    "mul-left": lambda: scaled(inputs="s c"),
    "mul-full-rank": lambda: scaled(shape=(1, 6, 1, 1)),
    "mul-number": lambda: scaled(shape=()),
    "mul-one-of-rank-4": lambda: scaled(shape=(1, 1, 1, 1)),
    "grouped": lambda: scaled(group=2),
    "strided-dilated": lambda: scaled(strides=[2, 2], dilations=[2, 2]),
    "same": lambda: scaled_by(weights(6, 1, 1)),
    "div": lambda: scaled("Div"),
    "div-number": lambda: scaled("Div", shape=()),
    "zero-factor": lambda: scaled_by(np.array([0, 1, -1, 2, 3, -0.5], np.float32).reshape(6, 1, 1)),
    "neg": negated,
    "transposed": transposed,
    "transposed-1d": lambda: transposed(rank=1),
    "transposed-grouped": lambda: transposed(groups=2),
    "gemm": gemm,
    "gemm-row": lambda: gemm((1, 6)),
    "gemm-number": lambda: gemm(()),
    "gemm-untransposed": lambda: gemm(trans_b=0),
    "matmul": lambda: matmul(bias=False),
    "matmul-add": matmul,
    "tied-weights": tied,
}

DECLINES: dict[str, Sample] = {
    "another node reads the Conv": lambda: expose(scaled(), "c"),
    "another node reads the MatMul": lambda: expose(matmul(), "m"),
    "of shape (1, 1, 1, 6) is not per channel": lambda: scaled_by(weights(1, 1, 1, 6)),
    "of shape (6,) is not per channel": lambda: scaled_by(weights(6)),
    "of shape (4, 1) is not per channel": lambda: scaled_by(weights(4, 1)),
    "of shape (6, 4, 6) is not per channel": lambda: scaled_by(weights(6, 4, 6)),
    "of shape (2, 1, 1, 1, 1) is not per channel": lambda: scaled_by(weights(2, 1, 1, 1, 1)),
    "a divisor is zero": lambda: scaled_by(np.array([0, 1, 1, 2, 3, 1], np.float32).reshape(6, 1, 1), "Div"),
    "the weight or bias is not constant": lambda: overridable(scaled(), "w"),
    "weight or bias is not constant": lambda: overridable(scaled(), "b"),
    "may be overridden": lambda: overridable(scaled(), "s"),
    "is not finite": lambda: scaled_by(np.float32(np.inf)),
    "does not fit float32": lambda: beyond(3e38),
    "does not fit float16": lambda: to_float16(beyond(4e4)),
    "vanish in float16": lambda: to_float16(beyond(1e-5)),
}

LEAVES: dict[str, Sample] = {
    "a number over Conv(x)": lambda: scaled("Div", "s c", shape=()),
    "a computed factor": gated,
    "Conv(x) squared": lambda: scaled("Mul", "c c"),
    "an activation lies between": after_an_activation,
    "MatMul at rank 3": sequence,
}
