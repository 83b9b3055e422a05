"""Which nodes carry a derivative from one value to another, and through which of their inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from cnnc_passes.rewrite import op_name

__all__ = ["paths"]

FLAT = frozenset(  # piecewise constant, or not read for their numbers: no derivative goes through
    {"Shape", "Size", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN"}
    | {"IsInf", "ArgMax", "ArgMin", "Floor", "Ceil", "Round", "Sign", "NonZero", "OneHot", "EyeLike", "ConstantOfShape"}
    | {"Range", "RandomUniformLike", "RandomNormalLike", "Bernoulli", "Multinomial"}
)
NUMBERED = {  # operator -> the inputs that carry a derivative, where others only say how
    "CastLike": (0,),
    "Clip": (0,),
    "Dropout": (0,),
    "Expand": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "Pad": (0, 2),
    "Reshape": (0,),
    "Resize": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}


def paths(graph: ir.Graph, wrt: ir.Value, score: ir.Value) -> Mapping[ir.Node, list[int]]:
    """The nodes on a path from `wrt` to `score`, in topological order, each with its inputs on one.

    A node whose subgraph reads what depends on `wrt` is on the path, with no input. Empty if there is no path.
    """
    reached = {wrt}
    forward: dict[ir.Node, list[int]] = {}
    for node in graph:
        inputs = [index for index in _carrying(node) if node.inputs[index] in reached]
        if inputs or any(value in reached for value in _captured(node)):
            forward[node] = inputs
            reached.update(value for value in node.outputs if value is not wrt)
    needed = {score}
    for node in reversed(list(forward)):
        if any(value in needed and value is not wrt for value in node.outputs):
            needed.update(value for index in forward[node] if (value := node.inputs[index]) is not None)
            needed.update(_captured(node))
    return {
        node: inputs
        for node, inputs in forward.items()
        if any(value in needed and value is not wrt for value in node.outputs)
    }


def _carrying(node: ir.Node) -> list[int]:
    """The inputs through which a derivative can go."""
    op = op_name(node)
    if op in FLAT or _is_integer(node):
        return []
    places = NUMBERED.get(op, range(len(node.inputs)))
    return [index for index in places if index < len(node.inputs) and node.inputs[index] is not None]


def _is_integer(node: ir.Node) -> bool:
    """True if every output of known type is one of whole numbers."""
    types = [value.dtype for value in node.outputs if value.dtype is not None]
    return bool(types) and not any(dtype.is_floating_point() for dtype in types)


def _captured(node: ir.Node) -> set[ir.Value]:
    """What the subgraphs of `node` read from outside, and more."""
    graphs = [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]
    return {value for graph in graphs for inner in graph.all_nodes() for value in inner.inputs if value is not None}
