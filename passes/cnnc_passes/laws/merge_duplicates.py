"""a + b and b + a => one of them, read twice; a * b, max and min likewise. Exact.

Where the order is the same too, any deduplication finds it; this one minds that these operators commute.
"""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, op_name

__all__ = ["MergeDuplicates"]


class MergeDuplicates(Rewrite):
    """Compute an Add, Mul, Max or Min of two values once, in whichever order they are written.

    Declines if both results are graph outputs: they have a name each.
    """

    roots = frozenset({"Add", "Max", "Min", "Mul"})
    example = """
        g (float[N,2] x) => (float[N,2] y)
        { a = Relu (x)  s = Add (a, x)  t = Add (x, a)  y = Mul (s, t) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second of the two."""
        twin = _twin(node)
        if twin is None or next(one for one in node.graph or () if one in (node, twin)) is node:
            return None
        outputs = [twin.outputs[0], node.outputs[0]]
        if all(output.is_graph_output() for output in outputs):
            return Decline("two outputs of the graph would be one value")
        once = ir.node(node.op_type, node.inputs, name=node.name, metadata_props=dict(node.metadata_props))
        outputs.sort(key=lambda output: output.is_graph_output())  # the name that must stay comes last
        return Change([twin, node], [once], dict.fromkeys(outputs, once.outputs[0]))


def _twin(node: ir.Node) -> ir.Node | None:
    """Another node of the same operator on the same two values."""
    a, b = (*node.inputs, None)[:2]
    if len(node.inputs) != 2 or a is None or b is None or node.attributes:  # `axis` and `broadcast`, before opset 7
        return None
    for use in min(a.uses(), b.uses(), key=len):
        other = use.node
        same = op_name(other) == op_name(node) and other.graph is node.graph and not other.attributes
        if same and other is not node and list(other.inputs) in ([a, b], [b, a]):
            return other
    return None
