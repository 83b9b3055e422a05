"""Operator -> bounds of its results from bounds of its operands, for the operators of a CNN; others are unbounded."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.links import channel_count, links_of
from cnnc_passes.ranges.interval import UNBOUNDED, Interval, hull, product, rounded, rounded_after, widened
from cnnc_passes.ranges.range_sums import Get, average, batchnorm, linear
from cnnc_passes.rewrite import constant

__all__ = ["RULES", "Rule"]

Rule = Callable[[ir.Node, Get], list[Interval]]
"""(node, bounds of a value) -> the bounds of each output."""
Function = Callable[[np.ndarray], np.ndarray]
_APPROXIMATION = 2.0**-18  # engines compute exp, tanh, erf by polynomials: their error, absolute and relative
_GELU_BY_TANH = 2.0**-10  # how far Gelu's form by tanh is from the one by erf


def _operands(node: ir.Node, get: Get) -> list[Interval]:
    """Each input's bounds, as the output's channels see them."""
    rank, channels = len(node.outputs[0].shape or ()), channel_count(node.outputs[0])
    seen = []
    for value in node.inputs:
        bounds, array = get(value), constant(value)
        if array is not None and array.size and 1 < rank >= array.ndim:
            aligned = array.astype(np.float64).reshape((1,) * (rank - array.ndim) + array.shape)
            rows = np.moveaxis(aligned, 1, 0).reshape(aligned.shape[1], -1)
            bounds = Interval(rows.min(axis=1), rows.max(axis=1))
        elif value is None or len(value.shape or ()) != rank or channel_count(value) not in (1, channels):
            bounds = _over_channels([bounds])
        seen.append(bounds)
    return seen


def _over_channels(intervals: list[Interval]) -> Interval:
    return Interval(
        np.array([min(float(bounds.low.min()) for bounds in intervals)]),
        np.array([max(float(bounds.high.max()) for bounds in intervals)]),
    )


def _sum(node: ir.Node, get: Get) -> list[Interval]:
    lows, highs = zip(*_operands(node, get), strict=True)
    bounds, dtype = Interval(functools.reduce(np.add, lows), functools.reduce(np.add, highs)), node.outputs[0].dtype
    if len(lows) < 3:
        return [rounded(bounds, dtype)]
    magnitude = functools.reduce(
        np.add, [np.maximum(abs(low), abs(high)) for low, high in zip(lows, highs, strict=True)]
    )
    return [rounded_after(bounds, magnitude, len(lows), dtype)]


def _difference(node: ir.Node, get: Get) -> list[Interval]:
    a, b = _operands(node, get)
    return [rounded(Interval(a.low - b.high, a.high - b.low), node.outputs[0].dtype)]


def _multiply(node: ir.Node, get: Get) -> list[Interval]:
    exact = product(*_operands(node, get))
    bounds, zero = rounded(exact, node.outputs[0].dtype), (exact.low == 0) & (exact.high == 0)
    return [Interval(np.where(zero, 0.0, bounds.low), np.where(zero, 0.0, bounds.high))]


def _divide(node: ir.Node, get: Get) -> list[Interval]:
    a, b = _operands(node, get)
    with np.errstate(divide="ignore"):
        quotient = product(a, Interval(1 / b.high, 1 / b.low))
    bounds = rounded_after(quotient, quotient.magnitude, 4, node.outputs[0].dtype)
    by_zero = (b.low <= 0) & (b.high >= 0)
    return [Interval(np.where(by_zero, -np.inf, bounds.low), np.where(by_zero, np.inf, bounds.high))]


def _extreme(choose: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Rule:
    def rule(node: ir.Node, get: Get) -> list[Interval]:
        lows, highs = zip(*_operands(node, get), strict=True)
        return [Interval(functools.reduce(choose, lows), functools.reduce(choose, highs))]

    return rule


def _clip(node: ir.Node, get: Get) -> list[Interval]:
    limits = []
    for index, attribute, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        given = node.inputs[index] if len(node.inputs) > index else None
        array = constant(given) if given is not None else np.asarray(node.attributes.get_float(attribute, default))
        if array is None:
            return [UNBOUNDED]
        limits.append(float(array.reshape(-1)[0]))
    return [Interval(*(np.minimum(np.maximum(end, limits[0]), limits[1]) for end in get(node.inputs[0])))]


def _sloped(node: ir.Node, get: Get) -> list[Interval]:
    """PRelu, LeakyRelu: x where it is not negative, slope * x where it is."""
    if node.op_type == "PRelu":
        x, slope = _operands(node, get)
    else:
        alpha = np.array([node.attributes.get_float("alpha", 0.01)])
        x, slope = get(node.inputs[0]), Interval(alpha, alpha)
    negative = Interval(np.minimum(x.low, 0), np.minimum(x.high, 0))
    below = rounded(product(negative, slope), node.outputs[0].dtype)
    both = hull([Interval(np.maximum(x.low, 0), np.maximum(x.high, 0)), below])
    choices = [x.low >= 0, x.high < 0]
    return [Interval(*(np.select(choices, [x[i], below[i]], both[i]) for i in (0, 1)))]


def _hard_sigmoid(node: ir.Node, get: Get) -> list[Interval]:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    x = product(get(node.inputs[0]), Interval(*np.full((2, 1), alpha)))
    bounds = rounded_after(Interval(x.low + beta, x.high + beta), x.magnitude + abs(beta), 4, node.outputs[0].dtype)
    return [Interval(np.clip(bounds.low, 0, 1), np.clip(bounds.high, 0, 1))]


def _rising(function: Function) -> Rule:
    """An approximated function that rises everywhere."""

    def rule(node: ir.Node, get: Get) -> list[Interval]:
        with np.errstate(all="ignore"):
            return [_approximate(Interval(*map(function, get(node.inputs[0]))), node)]

    return rule


def _valley(function: Function, bottom: float, error: float = 0.0) -> Rule:
    """An approximated function that falls from 0 at minus infinity to `bottom`, and rises after it."""

    def rule(node: ir.Node, get: Get) -> list[Interval]:
        low, high = (np.maximum(end, -1e4) for end in get(node.inputs[0]))  # the formula there says 0 * inf
        with np.errstate(all="ignore"):
            bounds = Interval(function(np.clip(bottom, low, high)), np.maximum(function(low), function(high)))
        return [_approximate(bounds, node, error)]

    return rule


def _approximate(bounds: Interval, node: ir.Node, error: float = 0.0) -> Interval:
    dtype = node.outputs[0].dtype
    relative = np.nan_to_num(bounds.magnitude, posinf=0.0)
    return rounded(widened(bounds, _APPROXIMATION * (1 + relative) + error, dtype), dtype)


def _moved(node: ir.Node, get: Get) -> list[Interval]:
    """Concat, Flatten, Slice and the like: channel by channel where they are told apart, else all together."""
    links = links_of(node)
    if not links:
        moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        return [_over_channels([get(value) for value in moved])] * len(node.outputs)
    results = []
    for output in node.outputs:
        size = channel_count(output) or 1
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        for link in links:
            if link.target is output:
                bounds = get(link.source)
                low[link.targets] = np.minimum(low[link.targets], bounds.low[link.sources])
                high[link.targets] = np.maximum(high[link.targets], bounds.high[link.sources])
        results.append(Interval(low, high))
    return results


def _pad(node: ir.Node, get: Get) -> list[Interval]:
    (moved,) = _moved(node, get)
    if node.attributes.get_string("mode", "constant") != "constant":
        return [moved]
    given = node.inputs[2] if len(node.inputs) > 2 else None
    filled = constant(given) if given is not None else np.asarray(node.attributes.get_float("value", 0.0))
    if filled is None:
        return [UNBOUNDED]
    fill = filled.reshape(-1)[:1].astype(np.float64)
    return [hull([moved, Interval(fill, fill)])]


def _resize(node: ir.Node, get: Get) -> list[Interval]:
    (x,) = _moved(node, get)
    mode = node.attributes.get_string("mode", "nearest")
    extrapolates = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if extrapolates or mode not in ("nearest", "linear"):
        return [UNBOUNDED]  # cubic overshoots
    return [x if mode == "nearest" else rounded_after(x, x.magnitude, 64, node.outputs[0].dtype)]


def _cast(node: ir.Node, get: Get) -> list[Interval]:
    """Rounding keeps the order, so ends go to ends."""
    x, dtype = get(node.inputs[0]), node.outputs[0].dtype
    kinds = {ir.DataType.FLOAT: np.float32, ir.DataType.FLOAT16: np.float16, ir.DataType.DOUBLE: np.float64}
    if dtype not in kinds:
        return [UNBOUNDED]
    with np.errstate(over="ignore"):
        return [Interval(*(end.astype(kinds[dtype]).astype(np.float64) for end in x))]


def _absolute(node: ir.Node, get: Get) -> list[Interval]:
    x = get(node.inputs[0])
    across = (x.low <= 0) & (x.high >= 0)
    return [Interval(np.where(across, 0.0, np.minimum(abs(x.low), abs(x.high))), x.magnitude)]


def _erf(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), linear),
    **dict.fromkeys(("Add", "Sum"), _sum),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), average),
    **dict.fromkeys(("Concat", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"), _moved),
    **dict.fromkeys(("GlobalMaxPool", "Identity", "MaxPool"), lambda node, get: [get(node.inputs[0])]),
    **dict.fromkeys(("LeakyRelu", "PRelu"), _sloped),
    "Abs": _absolute,
    "BatchNormalization": batchnorm,
    "Cast": _cast,
    "Clip": _clip,
    "Div": _divide,
    "Erf": _rising(_erf),
    "Exp": _rising(np.exp),
    "Gelu": _valley(lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2, -0.7517915246935645, _GELU_BY_TANH),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _valley(lambda x: x * np.clip(x / 6 + 0.5, 0, 1), -1.5),
    "Max": _extreme(np.maximum),
    "Min": _extreme(np.minimum),
    "Mish": _valley(lambda x: x * np.tanh(np.logaddexp(x, 0)), -1.1924312379),
    "Mul": _multiply,
    "Neg": lambda node, get: [Interval(*(-end for end in reversed(get(node.inputs[0]))))],
    "Pad": _pad,
    "Relu": lambda node, get: [Interval(*(np.maximum(end, 0) for end in get(node.inputs[0])))],
    "Resize": _resize,
    "Sigmoid": _rising(lambda x: 1 / (1 + np.exp(-x))),
    "Softmax": lambda node, get: [_approximate(Interval(np.zeros(1), np.ones(1)), node)],
    "Softplus": _rising(lambda x: np.logaddexp(x, 0)),
    "Softsign": _rising(lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))),
    "Sqrt": _rising(lambda x: np.sqrt(np.maximum(x, 0))),
    "Sub": _difference,
    "Tanh": _rising(np.tanh),
}
