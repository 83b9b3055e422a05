"""clip(clip(x, a, b), c, d) => clip(x, clip(a, c, d), clip(b, c, d)), where a <= b; Relu is clip(x, 0, inf). Exact.

Where ranges are disjoint both bounds are one number, and that is the result: Relu(Clip(x, -3, -1)) = Clip(x, 0, 0).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.clamp import CLAMPS, clamp_bounds, clamped
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, new_constant, opset, producer

__all__ = ["MergeClips"]

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class MergeClips(Rewrite):
    """Merge two of Clip, Relu, and Max or Min with a number into one Relu or Clip.

    A Clip whose minimum is above its maximum gives the maximum everywhere, and is merged as such.

    Declines if another node reads the first, a bound is not constant, or the type is not floating.
    """

    roots = CLAMPS
    example = """
        g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float low = {-1}, float high = {6}>
        { c = Clip (x, low, high)  y = Relu (c) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second of the two."""
        first = producer(clamped(node), *CLAMPS)
        x = clamped(first) if first is not None else None
        if first is None or x is None:
            return None
        if not has_one_reader(first.outputs[0]):
            return Decline(f"another node reads the {first.op_type}")
        inner, outer = clamp_bounds(first), clamp_bounds(node)
        if inner is None or outer is None:
            return Decline("a bound is not constant")
        if x.dtype not in _FLOATS:
            return Decline(f"the type is {x.dtype}, not a floating one")
        low, high = (_clip(bound, *outer) for bound in (min(inner), inner[1]))
        return Change([first, node], [_clamp(node, x, low, high)])


def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _clamp(node: ir.Node, x: ir.Value, low: float, high: float) -> ir.Node:
    """The one node, in the form that the opset of `node` has."""
    metadata = dict(node.metadata_props)
    if (low, high) == (0.0, math.inf):
        return ir.node("Relu", [x], name=node.name, metadata_props=metadata)
    bounds = {role: bound for role, bound in (("min", low), ("max", high)) if not math.isinf(bound)}
    if opset(node) < 11:
        return ir.node("Clip", [x], bounds, name=node.name, metadata_props=metadata)
    assert x.dtype is not None
    dtype = x.dtype.numpy()
    inputs = [
        new_constant(node.outputs[0], role, np.array(bounds[role], dtype)) if role in bounds else None
        for role in ("min", "max")
    ]
    return ir.node("Clip", [x, *inputs], name=node.name, metadata_props=metadata)
