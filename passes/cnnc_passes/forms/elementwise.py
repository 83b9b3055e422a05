"""The operators that compute each output element from the input elements at the same place."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name

__all__ = ["BROADCASTING", "POINTWISE", "UNARY", "element_inputs"]

UNARY = frozenset(
    {"Abs", "Ceil", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity"}
    | {"LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus"}
    | {"Softsign", "Sqrt", "Tanh", "ThresholdedRelu"}
)
BROADCASTING = frozenset({"Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"})
POINTWISE = UNARY | BROADCASTING | {"BatchNormalization"}


def element_inputs(node: ir.Node) -> dict[int, ir.Value] | None:
    """What `node` reads at the place of each output element, by input number; its parameters are the rest.

    Returns:
        None if it is not elementwise: another operator, a BatchNormalization that takes its statistics from
        the batch or has one for each position, or a node whose second output is read.
    """
    if op_name(node) not in POINTWISE:
        return None
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    if node.op_type == "BatchNormalization":
        training, per_channel = node.attributes.get_int("training_mode", 0), node.attributes.get_int("spatial", 1)
        if training or not per_channel:
            return None
    read = node.inputs if node.op_type in BROADCASTING else node.inputs[:1]
    return {index: value for index, value in enumerate(read) if value is not None}
