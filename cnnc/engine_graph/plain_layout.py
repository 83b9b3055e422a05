"""Why an operator of onnxruntime's optimized graph runs in plain layout, not in the CPU provider's blocked one, NCHWc.

The conditions are those of its NchwcTransformer; tests/compiler/test_barriers.py holds each against the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import ACTIVATIONS, takes_blocks
from cnnc_passes.rewrite import is_stored, op_name
from cnnc_passes.windows import groups

__all__ = ["BLOCKED_CONV", "REORDER_OUTPUT", "plain_inputs", "why_plain"]

REORDER_OUTPUT = "com.microsoft.nchwc::ReorderOutput"
BLOCKED_CONV = "com.microsoft.nchwc::Conv"
_CONVOLUTIONS = ("Conv", "com.microsoft::FusedConv")
_VIEWS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"})


def why_plain(node: ir.Node, block: int) -> str | None:
    """What keeps `node` out of blocks of `block` channels; None if it takes whatever layout its inputs have."""
    rule = _RULES.get(op_name(node))
    if rule is not None:
        return rule(node, block)
    return "takes the values in plain order" if node.op_type in _VIEWS else "has no blocked form"


def plain_inputs(node: ir.Node) -> list[ir.Value]:
    """The computed values that `node`, which could run in blocks, reads in plain layout.

    A convolution or pooling converts what it reads itself; only what a convolution adds (FusedConv's z) holds it back.
    """
    if op_name(node) in _CONVOLUTIONS:
        read: Iterable[ir.Value | None] = node.inputs[3:]
    else:
        read = () if node.op_type in ("MaxPool", "AveragePool") else node.inputs
    return [value for value in read if value is not None and not is_stored(value) and not _was_blocked(value)]


def _was_blocked(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and op_name(producer) == REORDER_OUTPUT


def _sizes(value: ir.Value | None) -> tuple[int | str | None, ...]:
    if value is None or value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)


def _convolution(node: ir.Node, block: int) -> str | None:
    weight = node.inputs[1]
    if weight is None or not is_stored(weight) or weight.is_graph_input():
        return "the weight is not constant"
    if weight.dtype != ir.DataType.FLOAT:
        return f"the type is {weight.dtype}, not float32"
    sizes = [int(size) for size in _sizes(weight) if isinstance(size, int)]
    if len(sizes) != 4:
        return f"of {len(sizes) - 2} spatial axes, not 2"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and (not is_stored(bias) or bias.is_graph_input()):
        return "the bias is not constant"
    filters, per_group, *_ = sizes
    if takes_blocks(filters, per_group, groups(node)):
        return None
    if groups(node) == 1:
        return "input channels are no multiple of 4"
    if per_group == 1 and filters == groups(node):
        return "channels are no multiple of 4"
    return f"channels of a group are no multiple of the block of {block}"


def _blocked_convolution(_node: ir.Node, block: int) -> str:
    return f"reads fewer channels than a block of {block}, in plain order"


def _pooling(node: ir.Node, block: int) -> str | None:
    if len(node.outputs) > 1 and node.outputs[1].name:
        return "it gives indices too"
    sizes = _sizes(node.inputs[0])
    if len(sizes) != 4:
        return f"of {len(sizes) - 2} spatial axes, not 2" if sizes else "the sizes are not known"
    return _not_whole(node.inputs[:1], block)


def _not_whole(values: Sequence[ir.Value | None], block: int) -> str | None:
    channels = [sizes[1] if len(sizes) == 4 else None for sizes in map(_sizes, values)]
    if any(isinstance(size, int) and size % block for size in channels):
        return f"channels are no multiple of the block of {block}"
    return None if all(isinstance(size, int) for size in channels) else "the number of channels is not known"


def _sum(node: ir.Node, _block: int) -> str | None:
    if any(value is not None and is_stored(value) for value in node.inputs):
        return "with a constant"
    known = [sizes for sizes in map(_sizes, node.inputs) if sizes]
    if len({len(sizes) for sizes in known}) > 1:
        return "of different shapes"
    return "of different numbers of channels" if len({sizes[1:2] for sizes in known}) > 1 else None


def _product(node: ir.Node, _block: int) -> str | None:
    if any(value is not None and is_stored(value) for value in node.inputs):
        return "with a constant"
    left, right = map(_sizes, node.inputs)
    if left == right and None not in left:
        return None
    if len(left) == len(right) == 4 and left[:2] == right[:2] and (1, 1) in (left[2:], right[2:]):
        return "a factor for each channel"
    if not plain_inputs(node) and len(left) == len(right) == 4:
        return "of tensors that are not known to have one shape"
    return "of different shapes" if left and right and left[1:2] != right[1:2] else None


def _concat(node: ir.Node, block: int) -> str | None:
    axis = node.attributes.get_int("axis", 0)
    if axis != 1:  # the engine looks at the number as it is written
        return f"along axis {axis}"
    if any(value is not None and is_stored(value) for value in node.inputs):
        return "with a constant"
    plain = plain_inputs(node)
    return _not_whole([value for value in node.inputs if value not in plain or len(_sizes(value)) == 4], block)


def _resize(node: ir.Node, _block: int) -> str | None:
    mode = node.attributes.get_string("mode", "nearest")
    where = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    if mode == "nearest" and (where, rounding) != ("asymmetric", "floor"):
        return f"to the nearest by {where}, {rounding}: only asymmetric, floor has a blocked form"
    if mode not in ("nearest", "linear") or where not in ("asymmetric", "align_corners", "half_pixel"):
        return f"{mode} by {where} has no blocked form"
    return None if plain_inputs(node) else "by sizes that are no whole constant multiples"


def _any(_node: ir.Node, _block: int) -> str | None:
    return None


_RULES: dict[str, Callable[[ir.Node, int], str | None]] = {
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"), _pooling),
    **dict.fromkeys(("Add", "Sum"), _sum),
    "Mul": _product,
    BLOCKED_CONV: _blocked_convolution,
    "Concat": _concat,
    "Resize": _resize,
    **dict.fromkeys((*ACTIVATIONS, "BatchNormalization", "Upsample"), _any),
}
