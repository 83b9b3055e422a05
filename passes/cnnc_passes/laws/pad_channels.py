"""Conv(f(Conv(x, W, b)), V) => the same with filters of zeros added to W and b, and columns of zeros to V. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.channels.group import ChannelGroup
from cnnc_passes.channels.widen import narrow_reason, widened
from cnnc_passes.forms.blocked_layout import idle_lanes, missing_channels, takes_blocks
from cnnc_passes.forms.frames import frame_count
from cnnc_passes.forms.linear import LINEAR
from cnnc_passes.rewrite import Change, Decline, Rewrite
from cnnc_passes.windows import groups

__all__ = ["PadChannels"]

_TAKE_WHOLE_BLOCKS = frozenset({"AveragePool", "MaxPool"})
_MOST_IDLE = 1 / 8  # lanes for each channel: measured, see docs/lowering.md


class PadChannels(Rewrite):
    """Give a map as many channels as the CPU provider's blocked layout takes: the next multiple of four.

    What R(2+1)D has between its convolutions of space and of time (45, 230, 921 channels), and what pruning leaves,
    is no multiple of four. The channels are added to the whole group of values that share them: to both sides of a
    sum, through activations, poolings and depthwise convolutions. They hold what f makes of zero, and meet weights
    of zero. Where a pooling reads them, they fill the block: it takes whole ones only.

    Declines if a channel of the group is made or read by something else than linear operators of one group with
    constant weights, as a Concat, or seen by the caller; if a clip's number of frames is open, since convolutions of
    clips run in blocks by frames only; or if the channels fill a block so badly that computing whole ones is slower.
    """

    roots = frozenset(LINEAR)
    trades = True  # an eighth more channels at most; the engine computes whole blocks in any case
    example = """
        g (float[N,1,2,2] x) => (float[N,1,2,2] y)
        <float[15,1,1,1] w = {1,2,3,4,5,6,7,8,9,8,7,6,5,4,3}, float[15] b = {1,0,1,0,1,0,1,0,1,0,1,0,1,0,1},
         float[1,15,1,1] v = {1,2,3,4,5,6,7,8,9,8,7,6,5,4,3}>
        { c = Conv (x, w, b)  r = Relu (c)  y = Conv (r, v) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the group of values that share channels with the node's result."""
        group = ChannelGroup(node)
        channels = group.channels[node.outputs[0]]
        if not group.is_led or not missing_channels(channels):
            return None
        narrow = [conv for conv in _readers(group) if _is_out_of_blocks(conv)]
        if not narrow:
            return None
        reason = narrow_reason(group)
        if reason is not None:
            return Decline(reason)
        if all(_is_open_clip(conv) for conv in narrow):
            return Decline("the number of frames is open")
        idle = idle_lanes(channels)
        if idle > channels * _MOST_IDLE:
            return Decline(f"whole blocks of {channels} channels would compute {idle} in vain")
        pools = any(link.node.op_type in _TAKE_WHOLE_BLOCKS for link in group.links)
        return widened(group, node.graph or (), idle if pools else missing_channels(channels))


def _readers(group: ChannelGroup) -> list[ir.Node]:
    """The convolutions that read a value of the group, depthwise ones too."""
    nodes = [linear.nodes[0] for linear, _ in group.readers] + [link.node for link in group.links]
    return [node for node in nodes if node.op_type == "Conv"]


def _is_out_of_blocks(conv: ir.Node) -> bool:
    """True for a convolution of images or of clips that nothing but its channels keeps from running in blocks."""
    weight = conv.inputs[1]
    if weight is None or weight.dtype != ir.DataType.FLOAT or weight.shape is None or len(weight.shape) not in (4, 5):
        return False
    filters, per_group, *_ = weight.shape.numpy()
    return not takes_blocks(filters, per_group, groups(conv))


def _is_open_clip(conv: ir.Node) -> bool:
    x = conv.inputs[0]
    return x is not None and x.shape is not None and len(x.shape) == 5 and frame_count(x) is None
