"""Operator -> the kind of layer it is, as the totals by kind group them."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.operations import RECURRENT
from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["KINDS", "kind_of"]

KINDS = (
    *("convolution", "fully connected", "matrix product", "recurrent", "normalization", "activation"),
    *("pooling", "elementwise", "data movement", "other"),
)

_ACTIVATIONS = frozenset(
    {"Relu", "PRelu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "Gelu", "HardSigmoid"}
    | {"HardSwish", "Mish", "Softplus", "Softsign", "Swish", "ThresholdedRelu", "Softmax", "LogSoftmax", "Erf"}
    | {"com.microsoft::QuickGelu", "com.microsoft::FastGelu", "com.microsoft::Gelu"}
)
_NORMALIZATIONS = frozenset(
    {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}
    | {"MeanVarianceNormalization", "LpNormalization", "LRN"}
)
_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Abs", "Neg", "Sqrt", "Exp", "Log", "Where", "Sum", "Mean"}
    | {"Floor", "Ceil", "Round", "Sign", "Reciprocal", "Sin", "Cos", "Mod", "Equal", "Greater", "Less", "Not", "And"}
    | {"Or", "GreaterOrEqual", "LessOrEqual", "QuantizeLinear", "DequantizeLinear", "Cast", "CumSum", "IsNaN"}
)
_MOVEMENT = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Pad", "Gather", "Expand"}
    | {"Identity", "Tile", "DepthToSpace", "SpaceToDepth", "Resize", "GatherElements", "GatherND", "Dropout"}
)


def kind_of(node: ir.Node) -> str:
    """One of `KINDS`. A product with a weight is fully connected, one of two activations a matrix product."""
    op = op_name(node)
    if op in CONVOLUTIONS:
        return "convolution"
    if op in ("Gemm", "MatMul"):
        weights = [value for value in node.inputs[:2] if value is not None and value.const_value is not None]
        return "fully connected" if weights else "matrix product"
    if op in RECURRENT:
        return "recurrent"
    if op in POOLINGS or op.startswith(("Global", "Reduce")):
        return "pooling"
    groups = {
        "normalization": _NORMALIZATIONS,
        "activation": _ACTIVATIONS,
        "elementwise": _ELEMENTWISE,
        "data movement": _MOVEMENT,
    }
    return next((kind for kind, ops in groups.items() if op in ops), "other")
