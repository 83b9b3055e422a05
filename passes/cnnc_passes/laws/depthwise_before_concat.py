"""Conv(Concat(a, b), W) => Concat(Conv(a, W[a]), Conv(b, W[b])) where it is depthwise. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.filters import Filters, filters_of
from cnnc_passes.forms.joined_channels import JoinedChannels, joined_channels
from cnnc_passes.rewrite import Change, Decline, Rewrite, again, has_one_reader, new_constant
from cnnc_passes.windows import groups

__all__ = ["DepthwiseBeforeConcat"]

_ACTIVATIONS = frozenset({"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})


class DepthwiseBeforeConcat(Rewrite):
    """Convolve channel by channel first, and join what is left of it (GhostNet's modules with a stride).

    The maps stay in the CPU provider's blocked layout, which a Concat of parts that are no whole blocks leaves: it is
    done on fewer positions, or taken in by the next convolution (split-concat). An activation goes along.

    Declines if another node reads what is joined, the weight or bias is not constant, the convolution adds something
    (FusedConv's z), the type is not float32, parts are not of known sizes or do not fit the blocked layout, or each
    is whole blocks.
    """

    roots = frozenset({"Conv", "com.microsoft::FusedConv"})
    trades = True  # a convolution more
    example = """
        g (float[N,4,2,2] p, float[N,4,2,2] q) => (float[N,8,2,2] y)
        <float[8,1,1,1] w = {1,2,3,4,5,6,7,8}, float[8] b = {1,2,3,4,5,6,7,8}>
        { c = Concat <axis = 1> (p, q)  y = Conv <group = 8> (c, w, b) }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one convolution."""
        if groups(conv) == 1:
            return None
        joined = joined_channels(conv.inputs[0])
        if not isinstance(joined, JoinedChannels):
            return joined
        filters = filters_of(conv)
        if isinstance(filters, Decline):
            return filters
        if not groups(conv) == joined.channels == len(filters.weight):
            return None
        if len(conv.inputs) > 3:
            return Decline("the convolution adds something")
        if joined.is_blocked:
            return Decline("each part is whole blocks")
        return _each_part(conv, joined, filters)


def _each_part(conv: ir.Node, joined: JoinedChannels, filters: Filters) -> Change:
    reader = conv.outputs[0].consumers()[0] if has_one_reader(conv.outputs[0]) else None
    f = reader if reader is not None and reader.domain == "" and reader.op_type in _ACTIVATIONS else None
    nodes: list[ir.Node] = []
    results = []
    for index, (part, rows) in enumerate(joined.parts):
        constants = [new_constant(conv.outputs[0], f"weight.{index}", filters.weight[rows])]
        if filters.bias is not None:
            constants.append(new_constant(conv.outputs[0], f"bias.{index}", filters.bias[rows]))
        attributes = {**conv.attributes, "group": rows.stop - rows.start}
        nodes.append(again(conv, [part, *constants], attributes, number=index))
        if f is not None:
            nodes.append(again(f, [nodes[-1].outputs[0], *f.inputs[1:]], number=index))
        results.append(nodes[-1].outputs[0])
    nodes.append(ir.node("Concat", results, {"axis": 1}, name=joined.concat.name))
    return Change([joined.concat, conv, *([f] if f is not None else [])], nodes)
