"""Pad(Pad(x, p), q) => Pad(x, p + q), of one mode and value. Exact."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.paddings import Padding, padding_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, new_constant, producer

__all__ = ["MergePads"]


class MergePads(Rewrite):
    """Pad once. Modes that look further into the tensor than its edge add up where no axis is padded twice.

    Declines if another node reads what is padded first, the pads or their value are not constant, the modes or
    values differ, a pad crops, or an axis is padded twice by reflect or wrap.
    """

    roots = frozenset({"Pad"})
    example = """
        g (float[N,1,4] x) => (float[N,1,8] y) <int64[6] p = {0,0,1,0,0,2}, int64[6] q = {0,0,1,0,0,0}>
        { a = Pad (x, p)  y = Pad (a, q) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second Pad."""
        first = producer(node.inputs[0], "Pad")
        if first is None:
            return None
        if not has_one_reader(first.outputs[0]):
            return Decline("another node reads what is padded first")
        inner, outer = padding_of(first), padding_of(node)
        if inner is None or outer is None:
            return Decline("the pads or their value are not constant")
        reason = _unlike(inner, outer)
        if reason:
            return Decline(reason)
        sums = np.array(inner.pads).T + np.array(outer.pads).T  # all begins, then all ends
        pads = [int(size) for size in sums.reshape(-1)]
        x, metadata = first.inputs[0], dict(node.metadata_props)
        if "pads" in node.attributes:  # before opset 11
            attributes = {**node.attributes, "pads": pads}
            return Change([first, node], [ir.node("Pad", [x], attributes, name=node.name, metadata_props=metadata)])
        inputs = [x, new_constant(node.outputs[0], "pads", np.array(pads, np.int64)), *node.inputs[2:3]]
        merged = ir.node("Pad", inputs, node.attributes, name=node.name, metadata_props=metadata)
        return Change([first, node], [merged])


def _unlike(inner: Padding, outer: Padding) -> str:
    """Why the two do not add up; empty if they do."""
    if inner.mode != outer.mode:
        return f"the modes are {inner.mode} and {outer.mode}"
    if inner.mode == "constant" and inner.value.hex() != outer.value.hex():  # -0.0 is not 0.0
        return f"they pad with {inner.value:g} and {outer.value:g}"
    if any(size < 0 for ends in (*inner.pads, *outer.pads) for size in ends):
        return "a negative pad crops"
    twice = any(any(a) and any(b) for a, b in zip(inner.pads, outer.pads, strict=True))
    if twice and inner.mode not in ("constant", "edge"):
        return f"an axis is padded twice by {inner.mode}"
    return ""
