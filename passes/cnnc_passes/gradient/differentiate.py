"""d<score, seed>/dx = the sum over x's readers n of (d<score, seed>/dy_n)^T dy_n/dx: from score to wrt. Exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.paths import paths
from cnnc_passes.gradient.rules import RULES
from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.gradient.tape import Tape
from cnnc_passes.rewrite import op_name
from cnnc_runtime.errors import UnsupportedModelError, UsageError

__all__ = ["OPSET", "Gradient", "differentiate"]

OPSET = 18
"""The lowest at which the rules' operators are what they count on: axes of reductions as inputs, sums that scatter."""


@dataclasses.dataclass(frozen=True)
class Gradient:
    """What computes a gradient, not yet in the graph.

    Attributes:
        value: d<score, seed>/d wrt. Of wrt's rank; 1 along an axis where it does not vary, as after a global
            average pooling, (N, C, 1, 1) for a wrt of (N, C, H, W): broadcast, it is the gradient. The seed
            itself where wrt is the score.
        nodes: what computes it, in topological order; they read the score's graph.
        initializers: new constants that the nodes read, with names that are new in the graph.
    """

    value: ir.Value
    nodes: list[ir.Node]
    initializers: list[ir.Value]


def differentiate(score: ir.Value, seed: ir.Value, wrt: ir.Value) -> Gradient:
    """The gradient of the scalar <score, seed> = sum(score * seed) with respect to `wrt`, as ONNX nodes.

    The graph stays as it is: the caller registers the constants and inserts the nodes, and does so before
    differentiating again, as names are new only in the graph. Only nodes on a path from wrt to score are
    differentiated, so others may be of any operator. Shapes must have been inferred (`InferShapes`).

    Args:
        score: of floats, any shape; an output or a value in the middle.
        seed: broadcastable into the score's shape, of its type: a one-hot row picks a class.
        wrt: a value of the same graph: a node's output, an input or an initializer.

    Raises:
        UsageError: wrt does not reach score, they are in different graphs, or one is not of floats.
        UnsupportedModelError: an operator on the path has no rule, or none for its attributes or open sizes;
            names the node. Or the graph's opset is below 18.
    """
    graph = _graph_of(score, wrt)
    tape = Tape(graph)
    if tape.opset < OPSET:
        raise UnsupportedModelError(
            f"the graph is at opset {tape.opset}, gradients need {OPSET}: export it again at {OPSET} or above"
        )
    route = paths(graph, wrt, score)
    if not route and wrt is not score:
        raise UsageError(
            f"{wrt.name!r} does not reach {score.name!r} by operators with a derivative: choose a layer before it"
        )
    contributions: dict[ir.Value, list[ir.Value]] = {score: [_of_rank(seed, score, tape)]}
    for node in reversed(list(route)):
        rule = _rule(node)
        gradients = [_total(contributions.get(value, ()), value, tape) for value in node.outputs]
        for index in route[node]:
            step = Step(tape, node, index, gradients)
            contributions.setdefault(step.x, []).append(rule(step))
    value = _total(contributions[wrt], wrt, tape)
    assert value is not None
    return Gradient(value, tape.nodes, tape.initializers)


def _graph_of(score: ir.Value, wrt: ir.Value) -> ir.Graph:
    graph = score.graph
    if graph is None or wrt.graph is not graph:
        raise UsageError(f"{wrt.name!r} and {score.name!r} are not values of one graph")
    for value in (score, wrt):
        if value.dtype is None or not value.dtype.is_floating_point():
            raise UsageError(f"{value.name!r} is of type {value.dtype}: only floats have a derivative")
        if value.shape is None:
            raise UnsupportedModelError(f"the rank of {value.name!r} is not known: infer shapes first")
    return graph


def _rule(node: ir.Node) -> Rule:
    rule = RULES.get(op_name(node))
    if rule is None:
        raise UnsupportedModelError(
            f"{op_name(node)} {node.name!r} is on the path of the gradient and has no rule: choose a layer after it"
        )
    return rule


def _of_rank(seed: ir.Value, score: ir.Value, tape: Tape) -> ir.Value:
    """The seed with leading axes of 1 up to the score's rank."""
    if seed.shape is None or score.shape is None or len(seed.shape) > len(score.shape):
        raise UsageError(f"the seed {seed.name!r}, {seed.shape}, does not broadcast into the score's {score.shape}")
    missing = len(score.shape) - len(seed.shape)
    return tape.op(f"{seed.name}.spread", "Unsqueeze", [seed, np.arange(missing)]) if missing else seed


def _total(parts: Sequence[ir.Value], value: ir.Value, tape: Tape) -> ir.Value | None:
    """The sum of what the readers of `value` contribute; None of none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return tape.op(f"{value.name}.gradient", "Add" if len(parts) == 2 else "Sum", parts)
