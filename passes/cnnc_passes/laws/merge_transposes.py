"""Transpose(Transpose(x, p), q) => Transpose(x, p[q]), or x where p[q] is the identity. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, producer

__all__ = ["MergeTransposes"]


class MergeTransposes(Rewrite):
    """Move the axes once, or not at all.

    Declines if another node reads the first Transpose (but where the second undoes it), or if a graph output
    would be a graph input, a constant, or another graph output: both names belong to the caller.
    """

    roots = frozenset({"Transpose"})
    example = """
        g (float[N,2,3,4] x) => (float[3,N,2,4] y)
        { t = Transpose <perm = [0, 2, 3, 1]> (x)  y = Transpose <perm = [1, 0, 3, 2]> (t) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second Transpose."""
        first = producer(node.inputs[0], "Transpose")
        x = first.inputs[0] if first is not None else None
        if first is None or x is None:
            return None
        p, q = first.attributes.get_ints("perm", None), node.attributes.get_ints("perm", None)
        rank = len(p or q or ())
        p, q = (list(perm or reversed(range(rank))) for perm in (p, q))  # both left out: the second undoes the first
        permutation = [p[axis] for axis in q]
        y, is_alone = node.outputs[0], has_one_reader(first.outputs[0])
        remove = [first, node] if is_alone else [node]
        if permutation == sorted(permutation):
            if y.is_graph_output() and (x.is_graph_input() or x.is_initializer() or x.is_graph_output()):
                return Decline("it gives a graph output its name")
            return Change(remove, [], {y: x})
        if not is_alone:
            return Decline("another node reads the first Transpose")
        metadata = dict(node.metadata_props)
        return Change(
            remove, [ir.node("Transpose", [x], {"perm": permutation}, name=node.name, metadata_props=metadata)]
        )
