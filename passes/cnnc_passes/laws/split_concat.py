"""Conv(Concat(a, b), W, c) along channels => Conv(b, W[:, b]) + (Conv(a, W[:, a]) + c). Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.filters import filters_of
from cnnc_passes.forms.joined_channels import JoinedChannels, Term, joined_channels, sum_of_convolutions
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader
from cnnc_passes.windows import groups

__all__ = ["SplitConcat"]

_LOST = frozenset({"Clip", "HardSigmoid"})  # the engine fuses them into a Conv, and not into a sum
_LARGEST_SHARE = 1 / 2  # of the channels that a Concat in blocks copies; at 4/5 (DeepLab's ASPP) nothing is won
_ACTIVATION = ("activation", "activation_params")


class SplitConcat(Rewrite):
    """Convolve what would be joined (the halves of CSPNet's stages, SqueezeNet's, GhostNet's), and add.

    A Concat copies each of its maps, and takes them out of the CPU provider's blocked layout if one is not whole
    blocks. Each convolution but the first adds to the result of the one before (FusedConv's z), which is a map of the
    result's size once more to read and write. A LeakyRelu after it becomes part of the last.

    Declines if another node reads what is joined, the weight or bias is not constant, the type is not float32, parts
    are not of known sizes or do not fit the blocked layout, the sums would move about as much as the Concat does, or
    an activation comes after that the engine fuses into a convolution only.
    """

    roots = frozenset({"Conv", "com.microsoft::FusedConv"})
    trades = True  # the result is written once a part
    example = """
        g (float[N,4,2,2] p, float[N,4,2,2] q) => (float[N,1,2,2] y)
        <float[1,8,1,1] w = {1,2,3,4,5,6,7,8}, float[1] b = {1}>
        { c = Concat <axis = 1> (p, q)  y = Conv (c, w, b) }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one convolution."""
        if groups(conv) != 1:
            return None
        joined = joined_channels(conv.inputs[0])
        if not isinstance(joined, JoinedChannels):
            return joined
        filters = filters_of(conv)
        if isinstance(filters, Decline):
            return filters
        share = _LARGEST_SHARE if joined.is_blocked else 1
        if (len(joined.parts) - 1) * len(filters.weight) > joined.channels * share:
            return Decline("the sums would move about as much as the Concat does")
        f = _activation_after(conv)
        if f is not None and f.op_type in _LOST:
            return Decline(f"the engine would no longer fuse the {f.op_type} after it")
        attributes = {name: value for name, value in conv.attributes.items() if name not in _ACTIVATION}
        last: dict[str, object] = {name: conv.attributes[name] for name in _ACTIVATION if name in conv.attributes}
        if f is not None:
            last = {"activation": "LeakyRelu", "activation_params": [f.attributes.get_float("alpha", 0.01)]}
        z = conv.inputs[3] if len(conv.inputs) > 3 else None
        terms = [Term(part, filters.weight[:, rows]) for part, rows in joined.parts]
        nodes = sum_of_convolutions(conv, terms, filters.bias, z, attributes, last)
        return Change([joined.concat, conv, *([f] if f is not None else [])], nodes)


def _activation_after(conv: ir.Node) -> ir.Node | None:
    """The activation that alone reads a convolution without one, where it matters who computes it."""
    result = conv.outputs[0]
    if "activation" in conv.attributes or not has_one_reader(result):
        return None
    reader = result.consumers()[0]
    return reader if reader.domain == "" and reader.op_type in _LOST | {"LeakyRelu"} else None
