"""Graphs for fold-bias."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, residual
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def shifted(
    op: str = "Add",
    inputs: str = "c t",
    shape: tuple[int, ...] = (6, 1, 1),
    rank: int = 2,
    bias: bool = True,
    group: int = 1,
) -> onnx.ModelProto:
    """A shift after a Conv with 4 inputs and 6 outputs."""
    constants = {"w": weights(6, 4 // group, *(3,) * rank), "t": weights(*shape), **({"b": weights(6)} if bias else {})}
    conv = node("Conv", "x w b" if bias else "x w", "c", pads=[1] * 2 * rank, group=group)
    return model([conv, node(op, inputs, "y")], {"x": ["batch", 4, *(6,) * rank]}, ["y"], constants)


def shifted_by(shift: np.ndarray) -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Add", "c t", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 8]}, ["y"], {"w": weights(6, 4, 3, 3), "t": shift})


def transposed(op: str = "Add", inputs: str = "c t", groups: int = 1) -> onnx.ModelProto:
    constants = {"w": weights(4, 6 // groups, 3, 3), "b": weights(6), "t": weights(6, 1, 1)}
    nodes = [node("ConvTranspose", "x w b", "c", group=groups, strides=[2, 2]), node(op, inputs, "y")]
    return model(nodes, {"x": ["batch", 4, 4, 4]}, ["y"], constants)


def gemm(op: str = "Add", inputs: str = "c t", shape: tuple[int, ...] = (6,), bias: bool = True) -> onnx.ModelProto:
    constants = {"w": weights(6, 4), "t": weights(*shape), **({"b": weights(6)} if bias else {})}
    nodes = [node("Gemm", "x w b" if bias else "x w", "c", transB=1, alpha=0.5, beta=2.0), node(op, inputs, "y")]
    return model(nodes, {"x": ["batch", 4]}, ["y"], constants)


def gemm_with_column() -> onnx.ModelProto:
    """A bias of one number a row, not a channel: (M, 1)."""
    constants = {"w": weights(4, 6), "b": weights(2, 1), "t": weights(6)}
    return model([node("Gemm", "x w b", "c"), node("Add", "c t", "y")], {"x": [2, 4]}, ["y"], constants)


def linear(op: str = "Add", inputs: str = "m b") -> onnx.ModelProto:
    constants = {"w": weights(4, 6), "b": weights(6)}
    return model([node("MatMul", "x w", "m"), node(op, inputs, "y")], {"x": ["batch", 4]}, ["y"], constants)


def far(shift: float) -> onnx.ModelProto:
    """A bias and a shift that are finite, and whose sum may not be."""
    constants = {
        "w": weights(6, 4, 3, 3),
        "b": np.full(6, shift, np.float32),
        "t": np.full((6, 1, 1), shift, np.float32),
    }
    return model([node("Conv", "x w b", "c"), node("Add", "c t", "y")], {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def after_an_activation() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Add", "r t", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": weights(6, 4, 3, 3), "t": weights(6, 1, 1)})


def sequence() -> onnx.ModelProto:
    nodes = [node("MatMul", "x w", "c"), node("Add", "c t", "y")]
    return model(nodes, {"x": ["batch", 3, 4]}, ["y"], {"w": weights(4, 6), "t": weights(6)})


SAMPLES: dict[str, Sample] = {
    "add-1d": lambda: shifted(rank=1, shape=(6, 1)),
    "add-2d": shifted,
    "add-3d": lambda: shifted(rank=3, shape=(6, 1, 1, 1)),
    "add-left": lambda: shifted(inputs="t c"),
    "add-full-rank": lambda: shifted(shape=(1, 6, 1, 1)),
    "add-number": lambda: shifted(shape=()),
    "no-bias": lambda: shifted(bias=False),
    "grouped": lambda: shifted(group=2),
    "sub": lambda: shifted("Sub"),
    "sub-from": lambda: shifted("Sub", "t c"),
    "sub-from-number": lambda: shifted("Sub", "t c", shape=(1,)),
    "sub-from-grouped": lambda: shifted("Sub", "t c", group=2),
    "transposed": transposed,
    "transposed-sub-from": lambda: transposed("Sub", "t c", groups=2),
    "gemm": gemm,
    "gemm-no-bias": lambda: gemm(bias=False),
    "gemm-row": lambda: gemm(shape=(1, 6)),
    "gemm-number": lambda: gemm(shape=()),
    "gemm-sub-from": lambda: gemm("Sub", "t c"),
    "matmul": linear,
    "matmul-left": lambda: linear(inputs="b m"),
    "matmul-sub-from": lambda: linear("Sub", "b m"),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Conv": lambda: expose(shifted(), "c"),
    "another node reads the MatMul": lambda: expose(linear(), "m"),
    "of shape (1, 1, 1, 6) is not per channel": lambda: shifted_by(weights(1, 1, 1, 6)),
    "of shape (6,) is not per channel": lambda: shifted_by(weights(6)),
    "of shape (4, 6) is not per channel": lambda: shifted_by(weights(4, 6)),
    "of shape (2, 1, 1, 1) is not per channel": lambda: shifted_by(weights(2, 1, 1, 1)),
    "bias of shape (2, 1) is not per output channel": gemm_with_column,
    "weight or bias is not constant": lambda: overridable(shifted(), "b"),
    "may be overridden": lambda: overridable(shifted(), "t"),
    "is not finite": lambda: shifted_by(np.float32(np.inf)),
    "does not fit float32": lambda: far(3e38),
    "does not fit float16": lambda: to_float16(far(4e4)),
}

LEAVES: dict[str, Sample] = {
    "a residual": residual,
    "Conv(x) twice": lambda: shifted("Add", "c c"),
    "an activation lies between": after_an_activation,
    "MatMul at rank 3": sequence,
}
