"""Which values onnxruntime's CPU provider holds in its blocked layout, NCHWc: channels in blocks of 8 or 16.

A convolution in that layout is several times faster; it takes what it adds (FusedConv's z) in the same layout only.
The conditions are those of onnxruntime's NchwcTransformer.
"""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name, same_shape
from cnnc_passes.windows import groups

__all__ = [
    "ACTIVATIONS",
    "BLOCK",
    "idle_lanes",
    "is_aligned",
    "is_blocked",
    "is_whole_blocks",
    "missing_channels",
    "takes_blocks",
]

_ALIGNED = 4  # channels come in multiples of this
BLOCK = 16
"""Channels of a block with AVX-512; 8 with AVX2."""
ACTIVATIONS = frozenset(
    {"Relu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "com.microsoft::Gelu", "com.microsoft::QuickGelu"}
)
"""Those with a form in blocks. Clip and LeakyRelu have none: they stay where the convolution before takes them in."""
_OF_ONE_SHAPE = frozenset({"Add", "Mul", "Sum"})
_OF_WHOLE_BLOCKS = frozenset({"AveragePool", "Concat", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})


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
        elif _keeps(node):
            pending += node.inputs[:1] if node.op_type == "BatchNormalization" else node.inputs
        else:
            return False
    return True


def _keeps(node: ir.Node) -> bool:
    """True if the node's result is in blocks where its inputs are."""
    op, given = op_name(node), [value for value in node.inputs if value is not None]
    if op in _OF_ONE_SHAPE:  # a squeeze-and-excitation's gate is broadcast, out of blocks
        return all(same_shape(given[0], other) for other in given[1:])
    if op in _OF_WHOLE_BLOCKS:
        along_channels = op != "Concat" or node.attributes.get_int("axis", 0) == 1
        return along_channels and len(node.outputs) == 1 and all(map(_is_whole, given))
    return op in ACTIVATIONS or op == "BatchNormalization"


def _is_whole(value: ir.Value) -> bool:
    channels = value.shape[1] if value.shape is not None else None
    return isinstance(channels, int) and is_whole_blocks(channels)


def takes_blocks(filters: int, per_group: int, group: int) -> bool:
    """True if a convolution of images runs in blocks; its weight is (filters, channels per group, kh, kw)."""
    if group == 1:
        return per_group % _ALIGNED == 0 or per_group < BLOCK // 2
    if per_group == 1 and filters == group:
        return filters % _ALIGNED == 0
    return per_group % BLOCK == 0 and (filters // group) % BLOCK == 0


def is_aligned(channels: int) -> bool:
    """True if a convolution in blocks can read a map of so many channels."""
    return channels % _ALIGNED == 0


def is_whole_blocks(channels: int) -> bool:
    """True if a map of so many channels ends with a full block, so that another can be put after it."""
    return channels % BLOCK == 0


def missing_channels(channels: int) -> int:
    """How many more a map needs for a convolution in blocks to read it."""
    return -channels % _ALIGNED


def idle_lanes(channels: int) -> int:
    """How many places of the last block hold no channel; the engine computes them all the same."""
    return -channels % BLOCK
