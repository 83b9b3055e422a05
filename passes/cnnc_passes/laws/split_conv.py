"""Split(f(Conv(x, W, b))) along channels => f(Conv(x, W[part], b[part])) for each part. Exact."""

from __future__ import annotations

import itertools

import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import takes_blocks
from cnnc_passes.forms.filters import Filters, filters_of
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    again,
    has_one_reader,
    new_constant,
    op_name,
    producer,
)
from cnnc_passes.windows import groups

__all__ = ["SplitConv"]

_CONVOLUTIONS = ("Conv", "com.microsoft::FusedConv")
_ACTIVATIONS = frozenset({"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})


class SplitConv(Rewrite):
    """Compute the parts of a feature map one by one (the halves of CSPNet's stages, GhostNet's, C2f's).

    The CPU provider has no Split in its blocked layout: the map would leave it and come back. Declines if another
    node reads what is split, the convolution is grouped or adds something (FusedConv's z), its weight or bias is not
    constant, the parts are not of known sizes, or a part's channels do not fit the blocked layout.
    """

    roots = frozenset({"Split"})
    trades = True  # x is read once a part
    example = """
        g (float[N,1,4,4] x) => (float[N,4,4,4] y, float[N,4,4,4] z)
        <float[8,1,1,1] w = {1,2,3,4,5,6,7,8}, float[8] b = {1,0,1,0,1,0,1,0}, int64[2] halves = {4,4}>
        { c = Conv (x, w, b)  r = LeakyRelu (c)  y, z = Split <axis = 1> (r, halves) }
    """

    def rewrite(self, split: ir.Node) -> Change | Decline | None:
        """Answer for one Split."""
        whole = split.inputs[0]
        before = whole.producer() if whole is not None else None
        if whole is None or before is None or split.attributes.get_int("axis", 0) != 1:
            return None
        f = before if op_name(before) in _ACTIVATIONS else None
        conv = producer(f.inputs[0], *_CONVOLUTIONS) if f is not None else producer(whole, *_CONVOLUTIONS)
        if conv is None:
            return None
        if not has_one_reader(whole) or not has_one_reader(conv.outputs[0]):
            return Decline("another node reads what is split")
        if groups(conv) != 1 or len(conv.inputs) > 3:
            return Decline("the convolution is grouped, or adds something")
        filters = filters_of(conv)
        if isinstance(filters, Decline):
            return filters
        weight, _ = filters
        sizes = [output.shape[1] if output.shape is not None else None for output in split.outputs]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) < len(sizes) or sum(known) != len(weight):
            return Decline("the parts are not of known sizes")
        if not all(takes_blocks(size, weight.shape[1], 1) and size % 4 == 0 for size in known) and weight.ndim == 4:
            return Decline("a part's channels do not fit the engine's blocked layout")
        return _in_parts(split, conv, f, known, filters)


def _in_parts(split: ir.Node, conv: ir.Node, f: ir.Node | None, sizes: list[int], filters: Filters) -> Change:
    nodes: list[ir.Node] = []
    replace = {}
    for index, (output, size, end) in enumerate(zip(split.outputs, sizes, itertools.accumulate(sizes), strict=True)):
        rows = slice(end - size, end)
        inputs = [conv.inputs[0], new_constant(output, "weight", filters.weight[rows])]
        if filters.bias is not None:
            inputs.append(new_constant(output, "bias", filters.bias[rows]))
        nodes.append(again(conv, inputs, number=index))
        if f is not None:
            nodes.append(again(f, [nodes[-1].outputs[0], *f.inputs[1:]], number=index))
        replace[output] = nodes[-1].outputs[0]
    return Change([conv, *([f] if f is not None else []), split], nodes, replace)
