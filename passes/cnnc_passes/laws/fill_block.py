"""Conv(f(Conv(x, W, b)), V) => the same with filters of zeros added to W and b, up to a full block. Exact."""

from __future__ import annotations

from collections.abc import Container, Iterable

import onnx_ir as ir

from cnnc_passes.channels.rebuild import rebuild
from cnnc_passes.channels.widen import padded
from cnnc_passes.forms.blocked_layout import BLOCK
from cnnc_passes.forms.filters import Filters, filters_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, again, new_constant, op_name
from cnnc_passes.windows import groups

__all__ = ["FillBlock"]

_CONVOLUTIONS = ("Conv", "com.microsoft::FusedConv")
_UNARY = ("LeakyRelu", "Relu")
_FEWEST = 4


class FillBlock(Rewrite):
    """Give a map that convolutions read at least one full block of channels (GhostNet's first modules, of 8 and 12).

    The CPU provider computes and stores whole blocks, but a convolution of fewer channels than a block reads them in
    plain order, for which the map must leave the layout. The channels of zeros cost nothing and save that. They are
    added to all maps that share channels: to both sides of a sum (FusedConv's z), through depthwise convolutions.

    Declines if a map is made or read by something else than convolutions of one group, depthwise ones and Relus, or
    seen by the caller. Leaves alone maps of one pixel, and those that only depthwise convolutions read.
    """

    roots = frozenset(_CONVOLUTIONS)
    trades = True  # by count only: a block is computed in either case
    example = """
        g (float[N,1,2,2] x) => (float[N,1,2,2] y)
        <float[4,1,1,1] w = {1,2,3,4}, float[4] b = {1,5,1,5}, float[1,4,1,1] v = {1,2,3,4}>
        { c = Conv (x, w, b)  r = Relu (c)  y = Conv (r, v) }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for the maps that share channels with the result of one convolution."""
        shape = conv.outputs[0].shape
        if shape is None or len(shape) != 4 or all(size == 1 for size in shape[2:]):
            return None
        channels = shape[1]
        if not isinstance(channels, int) or not _FEWEST <= channels < BLOCK or conv.outputs[0].is_graph_output():
            return None
        if groups(conv) > 1:
            return None  # what it reads is made by another of the group
        maps: dict[ir.Value, None] = {}
        declines: list[Decline] = []
        pending: list[ir.Value] = [conv.outputs[0]]
        while pending:
            value = pending.pop()
            if value in maps:
                continue
            maps[value] = None
            linked = _linked(value)
            if isinstance(linked, Decline):
                declines.append(linked)
            else:
                pending += linked
        if not any(_mixes(node, value) for value in maps for node in value.consumers()):
            return None
        return declines[0] if declines else _widened(conv.graph or (), maps, BLOCK - channels)


def _mixes(node: ir.Node, value: ir.Value) -> bool:
    """True for a convolution of one group that reads `value`."""
    return op_name(node) in _CONVOLUTIONS and groups(node) == 1 and node.inputs[0] is value


def _linked(value: ir.Value) -> list[ir.Value] | Decline:
    """The maps that must have as many channels as `value`."""
    maker = value.producer()
    if maker is None or value.is_graph_output():
        return Decline(f"{value.name!r} is not computed, or seen by the caller")
    found: list[ir.Value] = []
    for node in dict.fromkeys((maker, *value.consumers())):
        if op_name(node) in _UNARY:
            found += [x for x in (node.inputs[0], node.outputs[0]) if x is not None]
            continue
        if op_name(node) not in _CONVOLUTIONS or isinstance(filters_of(node), Decline):
            return Decline(f"{op_name(node)} {node.name!r} is no convolution with constant weights")
        weight = node.inputs[1].shape if node.inputs[1] is not None else None
        depthwise = weight is not None and groups(node) == weight[0] and weight[1] == 1
        if not depthwise and groups(node) > 1:
            return Decline(f"{op_name(node)} {node.name!r} is grouped")
        added = node.inputs[3] if len(node.inputs) > 3 else None
        if node is maker or depthwise or added is value:
            found += [x for x in (added, node.outputs[0]) if x is not None]
        if depthwise and node.inputs[0] is not None:
            found.append(node.inputs[0])
    return found


def _widened(nodes: Iterable[ir.Node], maps: dict[ir.Value, None], extra: int) -> Change | Decline:
    touched = [node for node in nodes if any(value in maps for value in (*node.inputs, *node.outputs))]
    return rebuild(touched, maps, lambda node, inputs: _wider(node, inputs, maps, extra))


def _wider(node: ir.Node, inputs: list[ir.Value | None], maps: Container[ir.Value | None], extra: int) -> ir.Node:
    """The node on `inputs` of more channels, and with more of its own where its result is one of `maps`."""
    if op_name(node) in _UNARY:
        return again(node, inputs)
    filters = filters_of(node)
    assert isinstance(filters, Filters)  # else no maps would be linked
    more = extra if node.outputs[0] in maps else 0
    wider, attributes = padded(filters.weight, more, 0), dict(node.attributes)
    if groups(node) > 1:  # depthwise
        attributes["group"] = ir.AttrInt64("group", len(wider))
    elif node.inputs[0] in maps:
        wider = padded(wider, extra, 1)
    inputs[1] = new_constant(node.outputs[0], "weight", wider)
    if filters.bias is not None and more:
        inputs[2] = new_constant(node.outputs[0], "bias", padded(filters.bias, more, 0))
    return again(node, inputs, attributes)
