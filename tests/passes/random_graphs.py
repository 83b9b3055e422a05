"""Random CNNs as ONNX models of rank 1 to 3: an image's normalization, blocks, a head; with traps set in some."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto

from tests.contract.edits import copy, expose, overridable
from tests.contract.graphs import feeds, model
from tests.passes.random_blocks import BLOCKS
from tests.passes.random_builder import Builder, Map, affine, pointwise

__all__ = ["RandomGraph", "random_graphs"]


class RandomGraph:
    """A model, and the numbers that its open sizes stand for (the batch: 2)."""

    def __init__(self, proto: onnx.ModelProto, sizes: dict[str, int]) -> None:  # a dataclass is printed field by field
        self.proto = proto
        self.sizes = sizes

    def feeds(self) -> list[dict[str, np.ndarray]]:
        """Adversarial inputs of these sizes, for overridable weights too."""
        closed = copy(self.proto)
        for value in closed.graph.input:
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in self.sizes:
                    dim.dim_value = self.sizes[dim.dim_param]
        return feeds(closed)

    def __repr__(self) -> str:
        """The nodes as text, without the weights."""
        bare = copy(self.proto)
        del bare.graph.value_info[:]
        shapes = {tensor.name: list(tensor.dims) for tensor in bare.graph.initializer}
        small = [t for t in bare.graph.initializer if math.prod(t.dims) <= 8 and t.data_type == TensorProto.INT64]
        del bare.graph.initializer[:]
        bare.graph.initializer.extend(small)
        return f"{onnx.printer.to_text(bare)}\nconstants: {shapes}\nsizes: {self.sizes}"


@st.composite
def random_graphs(draw: Callable[[st.SearchStrategy[Any]], Any]) -> RandomGraph:
    """One to four blocks; in some a middle value is an output too, or a weight may be overridden.

    A Conv that an Add reads is never an output: onnxruntime 1.31 fuses the two, and cannot open the result.
    """
    b = Builder(draw)
    options = {1: (9, 8, 12), 2: (7, 6, 8, 9), 3: (5, 4)}[b.rank]
    sizes = [b.pick(*options) for _ in range(b.rank)]
    x = start = Map("x", b.pick(4, 3, 6, 8), tuple(sizes))
    is_image = b.sometimes(8)
    if is_image:
        x = _normalized(b, x)
    for _ in range(b.pick(1, 2, 2, 3, 4)):
        x = b.pick(*BLOCKS)(b, x)
        if math.prod(x.size) * x.channels > 4000:
            break
    output = b.pick(_map, _map, _classifier, _classifier, _mean, _flat, _viewed)(b, x)
    spatial = [f"size{axis}" for axis in range(b.rank)]
    shape: Sequence[int | str] = [start.channels, *(spatial if b.is_open else sizes)]
    if is_image:
        shape = [*shape[1:], shape[0]]
    batch = b.pick("batch", "batch", "batch", 2)
    proto = model(b.nodes, {"x": [batch, *shape]}, [output], b.constants, opset=b.pick(20, 21))
    summed = {name for one in b.nodes if one.op_type in ("Add", "Sum") for name in one.input}
    unseen = {name for one in b.nodes if one.op_type == "Conv" for name in one.output} & summed
    inner = [v.name for v in proto.graph.value_info if v.name.startswith("v") and v.name not in unseen]
    if inner and b.sometimes(4):
        proto = expose(proto, b.pick(*inner))
    if b.weights and b.sometimes(6):
        proto = overridable(proto, b.pick(*b.weights))
    return RandomGraph(proto, dict(zip(spatial, sizes, strict=True)) if b.is_open else {})


def _normalized(b: Builder, x: Map) -> Map:
    """(x/255 - mean)/std of an image (N, *size, C), moved to (N, C, *size)."""
    y = b.op("Div", x, np.array(255.0))
    if b.pick(True, False):
        y = b.op("Div", b.op("Sub", y, b.factors(x.channels)), b.positive(x.channels))
    return x._replace(name=b.op("Transpose", y, perm=[0, b.rank + 1, *range(1, b.rank + 1)]))


def _map(b: Builder, x: Map) -> str:
    return x.name


def _classifier(b: Builder, x: Map) -> str:
    if b.sometimes():
        x = pointwise(b, x)
    pooled = b.op("Flatten", b.op("GlobalAveragePool", x))
    return _linear(b, pooled, x.channels)


def _mean(b: Builder, x: Map) -> str:
    keeps = b.pick(0, 1)
    y = b.op("ReduceMean", x, np.array(b.pick([*range(2, b.rank + 2)], [*range(-b.rank, 0)])), keepdims=keeps)
    y = b.op("Flatten", y) if keeps else y
    return b.op("Add", b.op("MatMul", y, b.weight(x.channels, 5, fan_in=x.channels)), b.weight(5))


def _flat(b: Builder, x: Map) -> str:
    """A Gemm on every position, sometimes after maps per channel."""
    b.is_open = False
    x = affine(b, x) if b.pick(True, False) else x
    return _linear(b, b.op("Flatten", x), x.channels * math.prod(x.size))


def _viewed(b: Builder, x: Map) -> str:
    """`x.view(x.size(0), -1)`: a computed target."""
    b.is_open = False
    batch = b.op("Unsqueeze", b.op("Gather", b.op("Shape", x), np.array(0)), np.array([0]))
    flat = b.op("Reshape", x, b.op("Concat", batch, np.array([-1]), axis=0))
    return _linear(b, flat, x.channels * math.prod(x.size))


def _linear(b: Builder, x: str, features: int) -> str:
    """Gemm, then nothing, a second one, an activation and a second one, or maps per output."""
    middle, by_rows = b.pick(5, 16), b.pick(1, 0)
    w = b.weight(middle, features) if by_rows else b.weight(features, middle, fan_in=features)
    y = b.op("Gemm", x, w, *([b.weight(middle)] if b.pick(True, False) else []), transB=by_rows)
    more = b.pick("", "Gemm", "Relu", "affine")
    if more == "affine":
        return b.op("Add", b.op("Mul", y, b.factors(middle)), b.factors(middle))
    if not more:
        return y
    y = b.op("Relu", y) if more == "Relu" else y
    return b.op("Gemm", y, b.weight(4, middle), b.weight(4), transB=1, alpha=b.pick(1.0, 0.5))
