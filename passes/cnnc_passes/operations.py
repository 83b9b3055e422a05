"""Operator -> multiply-accumulates and elementwise operations, as numbers or, of open sizes, as expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from cnnc_passes.dims import Dim, product
from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["RECURRENT", "VIEWS", "ShapeOf", "elementwise_flops", "is_counted", "macs", "read_inputs"]

ShapeOf = Callable[[ir.Value], Sequence[Dim] | None]

# FLOPs of one output element. Exponentials and the like count 1: what they cost differs between machines.
_PER_OUTPUT = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Abs", "Neg", "Sqrt", "Exp", "Log", "Erf"), 1),
    **dict.fromkeys(("Relu", "PRelu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "Selu", "Celu"), 1),
    **dict.fromkeys(
        ("Gelu", "HardSigmoid", "HardSwish", "Mish", "Softplus", "Softsign", "Swish", "ThresholdedRelu"), 1
    ),
    **dict.fromkeys(("Floor", "Ceil", "Round", "Sign", "Reciprocal", "Sin", "Cos", "Mod", "Where", "Sum", "Mean"), 1),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "IsNaN"), 1),
    **dict.fromkeys(("com.microsoft::QuickGelu", "com.microsoft::FastGelu", "com.microsoft::Gelu", "CumSum"), 1),
    "BatchNormalization": 2,  # a multiplication and an addition: in inference the statistics are constants
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), 2),
    **dict.fromkeys(("Softmax", "LogSoftmax"), 3),  # exponential, sum, division
}
_REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
# FLOPs of one input element: reductions read each once; normalizations take mean, variance, scale and shift.
_PER_INPUT = {
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "ArgMax", "ArgMin", "TopK"), 1),
    **dict.fromkeys([f"Reduce{name}" for name in _REDUCTIONS], 1),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "GroupNormalization"), 7),
    **dict.fromkeys(("MeanVarianceNormalization", "RMSNormalization", "LpNormalization"), 5),
}
VIEWS = frozenset(  # no bytes move: the same ones again, or only their number is asked
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size"}
)
_MOVES = frozenset(  # copies, and what only looks at shapes or makes constants
    {"Transpose", "Concat", "Split", "Slice", "Pad", "Gather", "GatherElements", "GatherND", "Expand", "Tile", "Cast"}
    | {"Shape", "Size", "Constant", "ConstantOfShape", "Range", "DepthToSpace", "SpaceToDepth", "CastLike", "Flatten"}
    | {"ScatterND", "ScatterElements", "OneHot", "EyeLike", "NonZero", "Trilu", "MaxUnpool"}
)
RECURRENT = frozenset({"RNN", "GRU", "LSTM"})
_PRODUCTS = CONVOLUTIONS | RECURRENT | {"Gemm", "MatMul"}


def is_counted(node: ir.Node) -> bool:
    """False for an operator whose operations this file does not know: the totals are too small by it."""
    op = op_name(node)
    known = op in _PER_OUTPUT or op in _PER_INPUT or op in ("Resize", "LRN")
    return known or op in _PRODUCTS | POOLINGS | VIEWS | _MOVES


def read_inputs(node: ir.Node) -> list[ir.Value]:
    """The inputs of which elements are read: none of Shape and Size, one of CastLike, whose other says the type."""
    read = 0 if op_name(node) in ("Shape", "Size") else 1 if op_name(node) == "CastLike" else len(node.inputs)
    return [value for value in node.inputs[:read] if value is not None]


def macs(node: ir.Node, shape_of: ShapeOf) -> Dim:
    """Outputs times the products summed into each; for a transposed convolution, inputs times their fan-out.

    Args:
        node: of any operator; those without products have none.
        shape_of: a value -> its sizes; numbers give a number, symbols an expression.

    Raises:
        whatever `shape_of` does where a shape is needed and not known.
    """
    op = op_name(node)
    if op in CONVOLUTIONS:
        counted = node.inputs[0] if op == "ConvTranspose" else node.outputs[0]
        return product([*_shape(counted, shape_of), *_shape(node.inputs[1], shape_of)[1:]])
    if op == "Gemm":
        a = _shape(node.inputs[0], shape_of)
        inner = a[0] if node.attributes.get_int("transA", 0) else a[1]
        return product([*_shape(node.outputs[0], shape_of), inner])
    if op == "MatMul":
        return product([*_shape(node.outputs[0], shape_of), _shape(node.inputs[0], shape_of)[-1]])
    if op in RECURRENT:  # two products a step, with the input and with the state
        steps = product(_shape(node.inputs[0], shape_of)[:2])
        return steps * sum((product(_shape(weight, shape_of)) for weight in node.inputs[1:3]), start=0)
    return 0


def elementwise_flops(node: ir.Node, shape_of: ShapeOf) -> Dim:
    """Of a node without products: additions, comparisons, exponentials, one each; 0 for what only moves data."""
    op = op_name(node)
    outputs = _elements(node.outputs[0], shape_of)
    if op in POOLINGS:
        return product(node.attributes["kernel_shape"].as_ints()) * outputs
    if op in _PER_INPUT and node.inputs[0] is not None:
        return _PER_INPUT[op] * _elements(node.inputs[0], shape_of)
    if op == "LRN":  # square, sum over the neighbors, scale, power, division
        return ((node.attributes.get_int("size", 1) or 1) + 4) * outputs
    if op == "Resize":
        return _interpolation(node, shape_of) * outputs
    return _PER_OUTPUT.get(op, 0) * outputs


def _interpolation(resize: ir.Node, shape_of: ShapeOf) -> int:
    """FLOPs of one output of a Resize: a multiplication and an addition for each of its taps; none if it copies."""
    taps = {"linear": 2, "cubic": 4}.get(resize.attributes.get_string("mode", "nearest") or "nearest", 0)
    before, after = shape_of(resize.inputs[0]) if resize.inputs[0] else None, shape_of(resize.outputs[0])
    if not taps or before is None or after is None:
        return 0
    return int(2 * taps ** sum(a != b for a, b in zip(before, after, strict=True)))


def _shape(value: ir.Value | None, shape_of: ShapeOf) -> Sequence[Dim]:
    shape = None if value is None else shape_of(value)
    return [0] if shape is None else shape


def _elements(value: ir.Value, shape_of: ShapeOf) -> Dim:
    """How many; 0 where not even the rank is known (of a sequence, say)."""
    shape = shape_of(value)
    return 0 if shape is None else product(shape)
