"""Which of a node's inputs training learned, told from the operator: its weights, biases, scales and slopes."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name, producer

__all__ = ["learned_values"]

# The inputs that are learned, by position. BatchNormalization's mean and variance (3, 4) are measured.
_LEARNED = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "com.microsoft::FusedConv": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),  # an embedding
    "RNN": (1, 2, 3),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7),
}
_FURTHEST = 96  # nodes between a weight as stored and as used (transposed, dequantized, standardized)


def learned_values(node: ir.Node) -> list[ir.Value]:
    """The constants behind the learned inputs of `node`, also where they are computed from others.

    A constant vector added to a matrix product is its bias (an exported `nn.Linear` on sequences).
    """
    slots = _bias_slots(node) if op_name(node) == "Add" else _LEARNED.get(op_name(node), ())
    found = [value for slot in slots if slot < len(node.inputs) for value in _behind(node.inputs[slot])]
    return list(dict.fromkeys(found))


def _bias_slots(add: ir.Node) -> tuple[int, ...]:
    left, right = add.inputs
    return (1,) if producer(left, "MatMul") else (0,) if producer(right, "MatMul") else ()


def _behind(value: ir.Value | None) -> list[ir.Value]:
    """The floating-point constants (int8 where quantized) from which `value` is computed; none if an input is."""
    found: list[ir.Value] = []
    pending = [value]
    for _ in range(_FURTHEST):
        current = pending.pop() if pending else None
        if current is None:
            if not pending:
                return found
        elif current.const_value is not None:
            if _is_weight(current):
                found.append(current)
        elif (node := current.producer()) is not None and node.inputs:
            pending += node.inputs
        else:
            return []
    return []


def _is_weight(value: ir.Value) -> bool:
    """Not a shape or an epsilon: a floating-point or quantized tensor of more than one element, or a vector."""
    tensor = value.const_value
    assert tensor is not None
    return len(tensor.shape) > 0 and tensor.dtype not in (ir.DataType.INT64, ir.DataType.BOOL)
