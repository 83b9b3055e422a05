"""Graphs for reduce-to-pool."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import overridable
from tests.contract.graphs import model, node


def reduce_mean(opset: int = 20, keepdims: int = 1, axes: tuple[int, ...] = (2, 3)) -> onnx.ModelProto:
    if opset < 18:
        nodes = [node("ReduceMean", "x", "m", axes=list(axes), keepdims=keepdims)]
        constants = {}
    else:
        nodes = [node("ReduceMean", "x axes", "m", keepdims=keepdims)]
        constants = {"axes": np.array(axes, np.int64)}
    nodes.append(node("Relu", "m", "y"))
    return model(nodes, {"x": ["batch", 3, *(5,) * len(axes)]}, ["y"], constants, opset=opset)


def mean_over(axes: list[int], dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    constants = {"k": np.array(axes, np.int64)}
    return model([node("ReduceMean", "x k", "y")], {"x": [2, 3, 4, 4]}, ["y"], constants, dtype=dtype)


SAMPLES: dict[str, Sample] = {
    "2d": reduce_mean,
    "1d": lambda: reduce_mean(axes=(2,)),
    "3d": lambda: reduce_mean(axes=(2, 3, 4)),
    "negative-axes": lambda: reduce_mean(axes=(-1, -2)),
    "squeezed": lambda: reduce_mean(keepdims=0),
    "axes-attribute": lambda: reduce_mean(opset=13),
}

DECLINES: dict[str, Sample] = {
    "the axes are not constant": lambda: overridable(mean_over([2, 3]), "k"),
    "pooling is not defined for": lambda: mean_over([2, 3], TensorProto.INT32),
}

LEAVES: dict[str, Sample] = {
    "channels": lambda: mean_over([1]),
    "channels too": lambda: mean_over([1, 2, 3]),
    "width alone": lambda: mean_over([3]),
    "the batch too": lambda: mean_over([0, 2, 3]),
}
