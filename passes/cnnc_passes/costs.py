"""Operator -> parameters, MACs, FLOPs and bytes: the guard of the laws, and what the analysis shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import onnx_ir as ir

from cnnc_passes.learned import learned_values
from cnnc_passes.rewrite import op_name
from cnnc_passes.sizes import concrete_shape, with_batch_of_one
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS
from cnnc_runtime.errors import UsageError

__all__ = ["Cost", "model_cost", "node_cost", "value_bytes"]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one node, or one model, takes for one inference.

    Attributes:
        params: values that training learned: weights and biases, normalization scale and shift, PReLU slopes.
            Running means and variances are measured, not learned, and do not count.
        macs: multiply-accumulates of convolutions, matrix products and recurrent layers; adding a bias is none.
        flops: 2 per MAC; for a node without MACs, its elementwise operations (`_PER_OUTPUT`, `_PER_INPUT`).
        weight_bytes: every constant that is read, running statistics among them.
        read_bytes: all inputs, constants included; none for a view (Reshape, Flatten, ...).
        written_bytes: all outputs; none for a view.
    """

    params: int = 0
    macs: int = 0
    flops: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


# FLOPs of one output element. Exponentials and the like count 1: what they cost differs between machines.
_PER_OUTPUT = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Abs", "Neg", "Sqrt", "Exp", "Log", "Erf"), 1),
    **dict.fromkeys(("Relu", "PRelu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "Selu", "Celu"), 1),
    **dict.fromkeys(("Gelu", "HardSigmoid", "HardSwish", "Mish", "Softplus", "Softsign"), 1),
    "BatchNormalization": 2,  # a multiplication and an addition: in inference the statistics are constants
    "Softmax": 3,  # exponential, sum, division
    "LogSoftmax": 3,
}
# FLOPs of one input element: reductions read each once; normalizations take mean, variance, scale and shift.
_PER_INPUT = {
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), 1),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "GroupNormalization"), 7),
}
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})  # another shape on the same bytes
_RECURRENT = frozenset({"RNN", "GRU", "LSTM"})


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
    macs = _macs(node, sizes)
    moves = op_name(node) not in _VIEWS
    return Cost(
        params=sum(_elements(value, sizes) for value in learned_values(node)),
        macs=macs,
        flops=2 * macs or _elementwise(node, sizes),
        weight_bytes=sum(value_bytes(value, sizes) for value in constants),
        read_bytes=sum(value_bytes(value, sizes) for value in set(filter(None, node.inputs))) if moves else 0,
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
    nodes = list(model.graph.all_nodes())
    costs = [node_cost(node, sizes) for node in nodes]
    learned = {value for node in nodes for value in learned_values(node)}
    constants = {value for node in nodes for value in _constants(node)}
    return Cost(
        params=sum(_elements(value, {}) for value in learned),
        macs=sum(cost.macs for cost in costs),
        flops=sum(cost.flops for cost in costs),
        weight_bytes=sum(value_bytes(value, {}) for value in constants),
        read_bytes=sum(cost.read_bytes for cost in costs),
        written_bytes=sum(cost.written_bytes for cost in costs),
    )


def _macs(node: ir.Node, sizes: Mapping[str, int]) -> int:
    """Outputs times the products summed into each; for a transposed convolution, inputs times their fan-out."""
    op = op_name(node)
    if op in CONVOLUTIONS:
        counted = node.inputs[0] if op == "ConvTranspose" else node.outputs[0]
        weight = _shape(node.inputs[1], sizes, node)
        return math.prod(_shape(counted, sizes, node)) * math.prod(weight[1:])
    if op == "Gemm":
        a = _shape(node.inputs[0], sizes, node)
        inner = a[0] if node.attributes.get_int("transA", 0) else a[1]
        return math.prod(_shape(node.outputs[0], sizes, node)) * inner
    if op == "MatMul":
        return math.prod(_shape(node.outputs[0], sizes, node)) * _shape(node.inputs[0], sizes, node)[-1]
    if op in _RECURRENT:  # two products a step, with the input and with the state
        steps = math.prod(_shape(node.inputs[0], sizes, node)[:2])
        return steps * sum(math.prod(_shape(weight, sizes, node)) for weight in node.inputs[1:3])
    return 0


def _elementwise(node: ir.Node, sizes: Mapping[str, int]) -> int:
    op = op_name(node)
    if op in POOLINGS:
        window = math.prod(node.attributes["kernel_shape"].as_ints())
        return window * _elements(node.outputs[0], sizes)
    if op in _PER_INPUT and node.inputs[0] is not None:
        return _PER_INPUT[op] * _elements(node.inputs[0], sizes)
    return _PER_OUTPUT.get(op, 0) * _elements(node.outputs[0], sizes)


def _constants(node: ir.Node) -> set[ir.Value]:
    return {value for value in node.inputs if value is not None and value.const_value is not None}


def _shape(value: ir.Value | None, sizes: Mapping[str, int], node: ir.Node) -> tuple[int, ...]:
    shape = None if value is None else concrete_shape(value, sizes)
    if shape is None:
        raise UsageError(f"{op_name(node)} {node.name!r}: the shape of {value and value.name!r} is not known")
    return shape


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
