"""Graphs for fully-convolutional."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import overridable, to_float16
from tests.contract.graphs import model, node, weights

MAP: tuple[int | str, ...] = ("batch", 4, 3, 2)
VECTOR: tuple[int | str, ...] = ("batch", 6, 1, 1)


def gemm(*shape: int | str, bias: bool = True, **attributes: Any) -> onnx.ModelProto:
    """A fully connected layer of 5 outputs on a flattened map, a ReLU outside the law's reach before it."""
    shape = shape or MAP
    length = int(np.prod([size for size in shape[1:] if isinstance(size, int)]))
    stored = weights(5, length) if attributes.get("transB") else weights(length, 5)
    nodes = [node("Relu", "x", "r"), node("Flatten", "r", "f"), node("Gemm", "f w b" if bias else "f w", "y")]
    nodes[-1] = node("Gemm", "f w b" if bias else "f w", "y", **attributes)
    return model(nodes, {"x": shape}, ["y"], {"w": stored, **({"b": weights(5)} if bias else {})})


def matmul() -> onnx.ModelProto:
    return model([node("Flatten", "x", "f"), node("MatMul", "f w", "y")], {"x": MAP}, ["y"], {"w": weights(24, 5)})


def after(view: list[onnx.NodeProto], x: tuple[int | str, ...], **constants: np.ndarray) -> onnx.ModelProto:
    """A view from `x` to `f`, and the ReLU of that."""
    return model([*view, node("Relu", "f", "y")], {"x": x}, ["y"], constants)


def flattened(*nodes: onnx.NodeProto, x: tuple[int | str, ...] = VECTOR, **constants: np.ndarray) -> onnx.ModelProto:
    """What follows a Flatten from `x` to `f`."""
    opset = int(constants.pop("opset", np.array(20)))
    return model([node("Flatten", "x", "f"), *nodes], {"x": x}, ["y"], constants, opset=opset)


def two_maps(op: str, shape: tuple[int | str, ...] = VECTOR, **attributes: Any) -> onnx.ModelProto:
    nodes = [node("Flatten", "x", "f"), node("Flatten", "z", "g"), node(op, "f g", "y", **attributes)]
    return model(nodes, {"x": shape, "z": shape}, ["y"])


def normalized(x: tuple[int | str, ...] = VECTOR) -> onnx.ModelProto:
    length = int(np.prod([size for size in x[1:] if isinstance(size, int)]))
    stored = {name: weights(length) for name in ("s", "b", "m")} | {"var": weights(length, low=0.5, high=1.5)}
    return flattened(node("BatchNormalization", "f s b m var", "y"), x=x, **stored)


def pooled(op: str = "GlobalAveragePool", x: tuple[int | str, ...] = MAP, **attributes: Any) -> onnx.ModelProto:
    return model([node(op, "x", "p", **attributes), node("Flatten", "p", "y")], {"x": x}, ["y"])


def squeeze_and_excite() -> onnx.ModelProto:
    nodes = [node("GlobalAveragePool", "x", "p"), node("Sigmoid", "p", "s"), node("Mul", "x s", "y")]
    return model(nodes, {"x": MAP}, ["y"])


def heavy() -> onnx.ModelProto:
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w", "y", alpha=300.0)]
    return to_float16(model(nodes, {"x": MAP}, ["y"], {"w": np.full((24, 5), 300.0, np.float32)}))


def transposed() -> onnx.ModelProto:
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w", "y", transA=1)]
    return model(nodes, {"x": [2, 4, 3, 2]}, ["y"], {"w": weights(2, 5)})


SAMPLES: dict[str, Sample] = {
    "gemm": lambda: gemm(transB=1),
    "gemm-as-stored": gemm,
    "gemm-without-bias": lambda: gemm(transB=1, bias=False),
    "gemm-alpha-beta": lambda: gemm(alpha=0.5, beta=3.0),
    "gemm-1d": lambda: gemm("batch", 4, 5, transB=1),
    "gemm-3d": lambda: gemm("batch", 2, 3, 2, 2, transB=1),
    "gemm-of-one-place": lambda: gemm(*VECTOR, transB=1),
    "gemm-fixed-batch": lambda: gemm(2, 4, 3, 2, transB=1),
    "matmul": matmul,
    "after-flatten": lambda: after([node("Flatten", "x", "f")], MAP),
    "after-reshape": lambda: after([node("Reshape", "x s", "f")], MAP, s=np.array([-1, 24])),
    "after-squeeze": lambda: after([node("Squeeze", "x s", "f")], VECTOR, s=np.array([2, 3])),
    "after-two": lambda: after([node("Flatten", "x", "a"), node("Flatten", "a", "f")], MAP),
    "clip": lambda: flattened(node("Clip", "f low high", "y"), x=MAP, low=np.float32(0), high=np.float32(6)),
    "scalar": lambda: flattened(node("Div", "f c", "y"), x=MAP, c=np.float32(2)),
    "bias": lambda: flattened(node("Add", "c f", "y"), c=weights(6)),
    "bias-row": lambda: flattened(node("Add", "f c", "y"), c=weights(1, 6)),
    "slope": lambda: flattened(node("PRelu", "f c", "y"), c=weights(6)),
    "sum": lambda: two_maps("Add", MAP),
    "concat": lambda: two_maps("Concat", axis=1),
    "softmax": lambda: flattened(node("Softmax", "f", "y")),
    "batchnorm": normalized,
    "mean": pooled,
    "maximum": lambda: pooled("GlobalMaxPool"),
    "mean-of-one-place": lambda: pooled(x=VECTOR),
    "mean-1d": lambda: pooled(x=("batch", 4, 5)),
    "mean-window": lambda: pooled("AveragePool", kernel_shape=[3, 2], strides=[3, 2]),
}

DECLINES: dict[str, Sample] = {
    "the size of the map is not known": lambda: pooled(x=("batch", 4, "h", "w")),
    "its result weighs a map: it is no head's": squeeze_and_excite,
    "the weight or bias is not constant": lambda: overridable(gemm(), "w"),
    "the flattened map is transposed": transposed,
    "a folded value does not fit float16": heavy,
    "a constant may be overridden": lambda: overridable(flattened(node("Add", "f c", "y"), c=weights(6)), "c"),
    "a constant differs from place to place": lambda: flattened(node("Add", "f c", "y"), x=MAP, c=weights(24)),
    "Softmax of a map of several places": lambda: flattened(node("Softmax", "f", "y"), x=MAP),
    "Softmax is not along the channels": lambda: flattened(node("Softmax", "f", "y", axis=0)),
    "Softmax of an opset below 13": lambda: flattened(node("Softmax", "f", "y"), opset=np.array(12)),
    "BatchNormalization of a map of several places": lambda: normalized(MAP),
}

LEAVES: dict[str, Sample] = {
    "a vector that never was a map": lambda: model([node("Relu", "x", "y")], {"x": ["batch", 24]}),
    "a map of open size": lambda: after([node("Flatten", "x", "f")], ("batch", 4, "h", "w")),
    "a flattening from another axis": lambda: after([node("Flatten", "x", "f", axis=2)], MAP),
    "the sum with what is no map": lambda: model(
        [node("Flatten", "x", "f"), node("Add", "f z", "y")], {"x": MAP, "z": ["batch", 24]}
    ),
    "a pooling of a part": lambda: pooled("AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    "a pooling that slides already": lambda: pooled("AveragePool", kernel_shape=[3, 2]),
    "a padded pooling": lambda: pooled("MaxPool", kernel_shape=[3, 2], strides=[3, 2], pads=[1, 0, 1, 0]),
}
