"""Which values onnxruntime's CPU provider holds in its blocked layout, NCHWc: channels in blocks of 8 or 16.

A convolution in that layout is several times faster; it takes what it adds (FusedConv's z) in the same layout only.
The conditions are those of onnxruntime's NchwcTransformer.
"""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name, same_shape
from cnnc_passes.windows import groups

__all__ = ["is_blocked", "takes_blocks"]

_ALIGNED = 4  # channels come in multiples of this
_BLOCK = 16  # of AVX-512; 8 of AVX2
_KEEPS = frozenset(
    {"Relu", "Sigmoid", "Tanh", "Add", "Mul", "Concat", "BatchNormalization", "MaxPool", "AveragePool"}
    | {"GlobalMaxPool", "GlobalAveragePool"}
)


def is_blocked(value: ir.Value | None) -> bool:
    """True if `value`, a map of (N, C, H, W), is a convolution's result in blocks, or such results joined."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        node = current.producer() if current is not None else None
        if current is None or node is None:
            return False
        if current in seen:
            continue
        seen.add(current)
        if op_name(node) in ("Conv", "com.microsoft::FusedConv"):
            weight = node.inputs[1].const_value if node.inputs[1] is not None else None
            if weight is None or len(weight.shape) != 4:
                return False
            filters, per_group, *_ = weight.shape.numpy()
            if not takes_blocks(filters, per_group, groups(node)):
                return False
        elif op_name(node) in ("Add", "Mul") and not _same_sizes(node):  # as a squeeze-and-excitation's gate
            return False
        elif op_name(node) in _KEEPS:
            pending += node.inputs[:1] if node.op_type not in ("Add", "Mul", "Concat") else node.inputs
        else:
            return False
    return True


def _same_sizes(node: ir.Node) -> bool:
    left, right = node.inputs
    return left is not None and right is not None and same_shape(left, right)


def takes_blocks(filters: int, per_group: int, group: int) -> bool:
    """True if a convolution of images runs in blocks; its weight is (filters, channels per group, kh, kw)."""
    if group == 1:
        return per_group % _ALIGNED == 0 or per_group < _BLOCK // 2
    if per_group == 1 and filters == group:
        return filters % _ALIGNED == 0
    return per_group % _BLOCK == 0 and (filters // group) % _BLOCK == 0
