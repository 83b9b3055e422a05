"""Conv(Pad(x, 0)) => Conv(x) with those pads; AveragePool and, with -inf, MaxPool likewise. Exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.non_negative import is_non_negative
from cnnc_passes.forms.paddings import Padding, padding_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, again, has_one_reader, producer
from cnnc_passes.shapes import Window
from cnnc_passes.windows import node_windows

__all__ = ["FoldPad"]


class FoldPad(Rewrite):
    """Let a Conv, AveragePool or MaxPool do the padding before it.

    The AveragePool then counts its padding. A MaxPool pads with -inf: it takes a Pad of -inf, and a Pad of 0 where
    what is padded is proved never to be negative, since then every window sees something that is no less than 0.

    Declines if another node reads the padded tensor, the pads are not constant, pad the batch or the channels, or crop;
    the mode is not constant or the value is another; the node rounds its size up (ceil_mode) or pads by
    auto_pad; an AveragePool has pads of its own that do not count; a MaxPool is dilated or its Indices are
    read; or a window could lie in the padding alone.
    """

    roots = frozenset({"AveragePool", "Conv", "MaxPool"})
    example = """
        g (float[N,1,4,4] x) => (float[N,1,4,4] y)
        <int64[8] pads = {0,0,1,1,0,0,1,1}, float[1,1,3,3] w = {0,1,0,1,2,1,0,1,0}>
        { p = Pad (x, pads)  y = Conv (p, w) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one Conv, AveragePool or MaxPool."""
        pad = producer(node.inputs[0], "Pad")
        windows = node_windows(node)
        if pad is None or windows is None:
            return None
        if not has_one_reader(pad.outputs[0]):
            return Decline("another node reads the padded tensor")
        padding = padding_of(pad)
        if padding is None:
            return Decline("the pads or their value are not constant")
        ends = [
            (outer[0] + own[0], outer[1] + own[1])
            for outer, own in zip(padding.pads[2:], map(_own_pads, windows), strict=True)
        ]
        reason = _unlike_zeros(padding) or _unlike_floor(node, windows, ends) or _wrong_value(node, pad, padding)
        if reason:
            return Decline(reason)
        attributes = {
            **{name: value for name, value in node.attributes.items() if name != "auto_pad"},
            **({"count_include_pad": 1} if node.op_type == "AveragePool" else {}),
            "pads": [begin for begin, _ in ends] + [end for _, end in ends],
        }
        folded = again(node, [pad.inputs[0], *node.inputs[1:]], attributes)
        x = pad.inputs[0]
        assert x is not None
        # Among values of at least 0 a maximum does not tell 0 from -inf
        within = {x: (np.zeros(1), np.full(1, np.inf))} if node.op_type == "MaxPool" and padding.value == 0 else {}
        return Change([pad, node], [folded], {node.outputs[0]: folded.outputs[0]}, within)


def _own_pads(window: Window) -> tuple[int, int]:
    return (0, 0) if window.auto_pad == "VALID" else window.pads


def _unlike_zeros(padding: Padding) -> str:
    """Why the Pad is not of the kind that a window has; empty if it is."""
    if padding.mode != "constant":
        return f"the mode is {padding.mode}"
    if any(size < 0 for ends in padding.pads for size in ends):
        return "a negative pad crops"
    if any(size for ends in padding.pads[:2] for size in ends):
        return "it pads the batch or the channels"
    return ""


def _unlike_floor(node: ir.Node, windows: Sequence[Window], ends: Sequence[tuple[int, int]]) -> str:
    """Why the windows would not lie where they do; empty if they would."""
    if windows[0].auto_pad not in ("NOTSET", "VALID"):
        return "auto_pad sets the pads"
    if windows[0].ceil_mode:
        return "ceil_mode rounds a padded size up"
    for window, pads in zip(windows, ends, strict=True):
        if max(pads) >= (window.span if node.op_type == "Conv" else window.kernel):
            return "the pads reach the size of the kernel"
    return ""


def _wrong_value(node: ir.Node, pad: ir.Node, padding: Padding) -> str:
    """Why the node would not pad with the same value; empty if it would."""
    if node.op_type != "MaxPool":
        if padding.value != 0:
            return f"{node.op_type} pads with 0, not {padding.value:g}"
        own = any(node.attributes.get_ints("pads", []))
        if node.op_type == "AveragePool" and own and not node.attributes.get_int("count_include_pad", 0):
            return "the AveragePool does not count its own pads"
        return ""
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return "the Indices of the MaxPool are read"
    if any(size != 1 for size in node.attributes.get_ints("dilations", [])):
        return "a dilated window may see padding alone"
    if padding.value == 0 and not is_non_negative(pad.inputs[0]):
        return "MaxPool pads with -inf, and what is padded with 0 may be negative"
    return "" if padding.value in (0, float("-inf")) else f"MaxPool pads with -inf, not {padding.value:g}"
