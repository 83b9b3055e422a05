"""Conv(x)[:, c], read by nobody or through weights of zero => a convolution without filter c. Exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.cuts import input_axis
from cnnc_passes.channels.group import ChannelGroup
from cnnc_passes.forms.linear import LINEAR, Linear
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["PruneUnread", "unread_inputs"]


class PruneUnread(Rewrite):
    """Remove the channels that no reader uses from what makes, carries and takes them.

    A channel is unread where a Slice or Split leaves it out, or where every weight that meets it is zero. It
    goes from the whole group of values that share it: from both sides of a sum, through activations,
    normalizations, poolings, depthwise convolutions, Concat and Flatten.

    Declines if the channel is made by something else than a Conv, ConvTranspose, Gemm or MatMul with constant
    weights and one group, or if it is the last one of a value.

    Args:
        multiples: where the channels are a multiple of one of these, a multiple of the first such is left: engines
            that lay channels out in blocks would take a layer out of that layout, which costs more than a few do.
    """

    roots = frozenset(LINEAR)
    example = """
        g (float[N,1,4,4] x) => (float[N,1,4,4] y)
        <float[2,1,1,1] w = {2,3}, float[2] b = {1,5}, float[1,2,1,1] v = {4,0}>
        { c = Conv (x, w, b)  r = Relu (c)  y = Conv (r, v) }
    """

    def __init__(self, multiples: Sequence[int] = ()) -> None:
        self._multiples = multiples

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the group of values that share channels with the node's result."""
        group = ChannelGroup(node)
        if not group.is_led:
            return None
        unread = {value: np.ones(channels, bool) for value, channels in group.channels.items()}
        for pin in group.pins:
            if pin.by_reader:
                unread[pin.value][:] = False
        for linear, value in group.readers:
            unread[value] &= unread_inputs(linear)
        unread = group.settle(unread)
        if not any(mask.any() for mask in unread.values()):
            return None
        removed = group.removable(unread)
        if not any(mask.any() for mask in removed.values()):
            return Decline(next((pin.reason for pin in group.pins if not pin.by_reader), "one channel has to stay"))
        removed = group.aligned(removed, self._multiples)
        if not any(mask.any() for mask in removed.values()):
            return Decline(f"what is left would be no multiple of {' or '.join(map(str, self._multiples))} channels")
        return group.without(removed, {})


def unread_inputs(linear: Linear) -> np.ndarray:
    """Which inputs meet weights of zero only, (C_in,)."""
    axis = input_axis(linear)
    return np.asarray(~linear.weight.any(axis=tuple(other for other in range(linear.weight.ndim) if other != axis)))
