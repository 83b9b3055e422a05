"""g -> g spread over what was reduced: it stays of size 1 along the reduced axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step

__all__ = ["REDUCTIONS", "global_average_pool"]


def global_average_pool(s: Step) -> ir.Value:
    """GlobalAveragePool: dx = g/(H*W)."""
    return _divided(s, s.g, range(2, len(s.dims(s.x))))


def reduce_mean(s: Step) -> ir.Value:
    """ReduceMean: dx = g/n, n the elements of each mean."""
    axes = _axes(s)
    return _divided(s, _kept(s, s.g, axes), axes) if axes else s.g


def _reduction(law: Callable[[Step, ir.Value, ir.Value], ir.Value]) -> Rule:
    """The rule of a reduction, from its law for (step, g, y), both with the reduced axes kept."""

    def rule(s: Step) -> ir.Value:
        axes = _axes(s)
        return law(s, _kept(s, s.g, axes), _kept(s, s.y, axes))

    rule.__doc__ = law.__doc__
    return rule


def _sum(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceSum: dx = g."""
    return g


def _extreme(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceMax: dx = g where x = y, shared by those that tie, as in torch.amax."""
    won = s.op("Equal", s.x, y)
    count = s.op("ReduceSum", s.op("Cast", won, to=int(s.gradient_type())), np.array(_axes(s), np.int64), keepdims=1)
    return s.op("Where", won, s.op("Div", g, count), 0.0)


def _l1(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceL1: dx = g * sign(x)."""
    return s.op("Mul", g, s.op("Sign", s.x))


def _l2(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceL2: dx = g*x/y, 0 where y is."""
    return s.op("Mul", s.x, s.op("Div", g, s.op("Where", s.op("Equal", y, 0.0), 1.0, y)))


def _sum_square(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceSumSquare: dx = 2*g*x."""
    return s.op("Mul", s.op("Mul", g, 2.0), s.x)


def _log_sum_exp(s: Step, g: ir.Value, y: ir.Value) -> ir.Value:
    """ReduceLogSumExp: dx = g * exp(x - y)."""
    return s.op("Mul", g, s.op("Exp", s.op("Sub", s.x, y)))


def _axes(s: Step) -> list[int]:
    """The reduced axes of x, none negative: the second input, before opset 18 the attribute; all if not said."""
    given = s.constant_input(1, "axes")
    rank = len(s.dims(s.x))
    axes = list(s.node.attributes.get_ints("axes", ()) or ()) if given is None else given.reshape(-1).tolist()
    if not axes and s.integer("noop_with_empty_axes", 0):
        return []
    return sorted(axis % rank for axis in axes) if axes else list(range(rank))


def _kept(s: Step, value: ir.Value, axes: list[int]) -> ir.Value:
    """`value`, of y's shape, with the reduced axes as 1."""
    if s.integer("keepdims", 1) or not axes:
        return value
    return s.op("Unsqueeze", value, np.array(axes, np.int64))


def _divided(s: Step, g: ir.Value, axes: range | list[int]) -> ir.Value:
    count = s.count(s.x, list(axes))
    return s.op("Div", g, count) if isinstance(count, ir.Value) else s.times(g, 1 / count)


REDUCTIONS: dict[str, Rule] = {
    "ReduceMean": reduce_mean,
    "ReduceSum": _reduction(_sum),
    "ReduceMax": _reduction(_extreme),
    "ReduceMin": _reduction(_extreme),
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(_l2),
    "ReduceSumSquare": _reduction(_sum_square),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
}
