"""Operator -> its readings, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from cnnc.analysis.geometry import axis_rules, map_rules, view_rules, window_rules
from cnnc.analysis.geometry.reads import Reading
from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["BROADCASTING", "UNARY", "VIEWS", "has_subgraph", "readings"]

Rule = Callable[[ir.Node, Mapping[str, int]], list[Reading] | None]

UNARY = frozenset(
    (
        *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu"),
        *("Tanh", "Softplus", "Softsign", "ThresholdedRelu", "Clip", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Abs"),
        *("Neg", "Sign", "Floor", "Ceil", "Round", "Not", "Identity", "Dropout", "Cast", "CastLike", "IsNaN", "IsInf"),
        *("Sin", "Cos", "Shrink", "QuantizeLinear", "DequantizeLinear", "BatchNormalization"),
    )
)
"""Elementwise in the first input, whose shape the output has."""

BROADCASTING = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Mean", "Sum", "PRelu", "Where", "And", "Or", "Xor"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
    )
)
"""Elementwise in several inputs."""

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Other shapes for the same elements in the same order."""

_REDUCTIONS = ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
_SOFTMAX = map_rules.normalization(map_rules.softmax_axes)

_RULES: dict[str, Rule] = {
    **dict.fromkeys(CONVOLUTIONS | POOLINGS, window_rules.read_windows),
    **dict.fromkeys(UNARY, map_rules.read_first_elementwise),
    **dict.fromkeys(BROADCASTING, map_rules.read_elementwise),
    **dict.fromkeys((f"Reduce{kind}" for kind in _REDUCTIONS), map_rules.read_reduction),
    **dict.fromkeys(("ArgMax", "ArgMin"), map_rules.read_reduction),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), map_rules.read_global_pooling),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _SOFTMAX),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), map_rules.normalization(map_rules.spatial)),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), map_rules.normalization(map_rules.layer_axes)),
    **dict.fromkeys(VIEWS, view_rules.read_view),
    **dict.fromkeys(("Resize", "Upsample"), window_rules.read_resize),
    "LRN": map_rules.read_across_channels,
    "Expand": map_rules.read_first_elementwise,
    "Gemm": map_rules.read_gemm,
    "MatMul": map_rules.read_matmul,
    "DepthToSpace": view_rules.read_depth_to_space,
    "SpaceToDepth": view_rules.read_space_to_depth,
    "Transpose": axis_rules.read_transpose,
    "Concat": axis_rules.read_concat,
    "Split": axis_rules.read_split,
    "Slice": axis_rules.read_slice,
    "Gather": axis_rules.read_gather,
    "Pad": axis_rules.read_pad,
}


def readings(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """How each output of `node` reads its inputs; None for an operator, or a form of it, that is not known.

    An input that no reading names is read in an unknown way, constants excepted. One that several name (a
    normalization: the element itself, and the mean of its axis) is read in all these ways.

    Raises:
        InvalidInputError: an attribute of a convolution or pooling is impossible.
    """
    rule = _RULES.get(op_name(node))
    return rule(node, sizes) if rule is not None else None


def has_subgraph(node: ir.Node) -> bool:
    """If, Loop, Scan: they read values that are not among their inputs."""
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in graphs for attribute in node.attributes.values())
