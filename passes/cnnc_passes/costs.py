"""Operator -> parameters, MACs, FLOPs and bytes: the guard of the laws, and what the analysis shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import cast

import onnx_ir as ir

from cnnc_passes import operations
from cnnc_passes.learned import learned_values
from cnnc_passes.operations import ShapeOf
from cnnc_passes.rewrite import op_name
from cnnc_passes.sizes import concrete_shape, with_batch_of_one
from cnnc_runtime.errors import UsageError

__all__ = ["Cost", "model_cost", "node_cost", "total_cost", "value_bytes"]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one node, or one model, takes for one inference.

    Attributes:
        params: values that training learned: weights and biases, normalization scale and shift, PReLU slopes.
            Running means and variances are measured, not learned, and do not count.
        macs: multiply-accumulates of convolutions, matrix products and recurrent layers; adding a bias is none.
        flops: 2 per MAC; for a node without MACs, its elementwise operations (`operations.py`).
        weight_bytes: every constant that is read, running statistics among them.
        read_bytes: all inputs of which elements are read, constants included; none for a view (Reshape, Flatten, ...).
        written_bytes: all outputs; none for a view.
    """

    params: int = 0
    macs: int = 0
    flops: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


def node_cost(node: ir.Node, sizes: Mapping[str, int] | None = None) -> Cost:
    """The cost of one node. Weights are not read: shapes and types suffice.

    Args:
        node: with known shapes (`InferShapes`).
        sizes: values of symbolic sizes, `{"height": 224}`. An open leading axis (the batch) counts 1.

    Raises:
        UsageError: a size that the result depends on is not known.
    """
    sizes = sizes or {}
    constants = _constants(node)
    macs = cast(int, operations.macs(node, _shape_reader(node, sizes, needed=True)))
    elementwise = cast(int, operations.elementwise_flops(node, _shape_reader(node, sizes, needed=False)))
    moves = op_name(node) not in operations.VIEWS
    return Cost(
        params=sum(_elements(value, sizes) for value in learned_values(node)),
        macs=macs,
        flops=2 * macs or elementwise,
        weight_bytes=sum(value_bytes(value, sizes) for value in constants),
        read_bytes=sum(value_bytes(value, sizes) for value in set(operations.read_inputs(node))) if moves else 0,
        written_bytes=sum(value_bytes(value, sizes) for value in node.outputs) if moves else 0,
    )


def model_cost(model: ir.Model, sizes: Mapping[str, int] | None = None) -> Cost:
    """The cost of a whole model: the sum over its nodes, where weights that nodes share count once.

    Shapes that the model does not state are inferred on a copy, which shares the weights.

    Raises:
        UsageError: as `node_cost`.
        InvalidInputError: the shapes contradict each other.
    """
    if any(output.shape is None for node in model.graph for output in node.outputs):
        from cnnc_passes.infer_shapes import InferShapes

        model = model.clone()
        InferShapes()(model)
    sizes = with_batch_of_one(model, sizes)
    return total_cost({node: node_cost(node, sizes) for node in model.graph.all_nodes()})


def total_cost(costs: Mapping[ir.Node, Cost]) -> Cost:
    """The sum over nodes whose costs are known; weights that several read count once."""
    learned = {value for node in costs for value in learned_values(node)}
    constants = {value for node in costs for value in _constants(node)}
    return Cost(
        params=sum(_elements(value, {}) for value in learned),
        macs=sum(cost.macs for cost in costs.values()),
        flops=sum(cost.flops for cost in costs.values()),
        weight_bytes=sum(value_bytes(value, {}) for value in constants),
        read_bytes=sum(cost.read_bytes for cost in costs.values()),
        written_bytes=sum(cost.written_bytes for cost in costs.values()),
    )


def _shape_reader(node: ir.Node, sizes: Mapping[str, int], *, needed: bool) -> ShapeOf:
    """The values' shapes in numbers. Raises UsageError, naming the node, for a shape that is `needed` and unknown."""

    def shape_of(value: ir.Value) -> tuple[int, ...] | None:
        shape = concrete_shape(value, sizes)
        if shape is None and needed:
            raise UsageError(f"{op_name(node)} {node.name!r}: the shape of {value.name!r} is not known")
        return shape

    return shape_of


def _constants(node: ir.Node) -> set[ir.Value]:
    return {value for value in node.inputs if value is not None and value.const_value is not None}


def _elements(value: ir.Value, sizes: Mapping[str, int]) -> int:
    """How many; 0 where not even the rank is known (of a sequence, say)."""
    if value.const_value is not None:
        return value.const_value.size
    shape = concrete_shape(value, sizes)
    return 0 if shape is None else math.prod(shape)


def value_bytes(value: ir.Value, sizes: Mapping[str, int]) -> int:
    """Of a tensor as it lies in memory; 0 where its rank or type is unknown."""
    dtype = value.const_value.dtype if value.const_value is not None else value.dtype
    if dtype is None or dtype == ir.DataType.STRING:
        return 0
    return math.ceil(_elements(value, sizes) * dtype.bitwidth / 8)
