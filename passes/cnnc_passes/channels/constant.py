"""Which channels hold one number, whatever the input is: filters of zeros, scales of zero, and what follows.

Numbers are those of exact arithmetic, in float64. Inputs and weights are taken to be finite.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.cuts import output_axis
from cnnc_passes.channels.links import Link, channel_count, links_of
from cnnc_passes.forms.elementwise import BROADCASTING
from cnnc_passes.forms.linear import Linear
from cnnc_passes.ranges.value_ranges import ValueRanges
from cnnc_passes.rewrite import constant, op_name
from cnnc_passes.windows import node_windows

__all__ = ["Known", "constant_channels", "is_unpadded"]

Known = dict[ir.Value, np.ndarray]
"""Value -> the number that each channel holds, (C,); NaN where it varies."""


def constant_channels(
    nodes: Iterable[ir.Node], linears: dict[ir.Node, Linear], ranges: ValueRanges | None = None
) -> Known:
    """What is constant in the outputs of `nodes`, which stand in the graph's order.

    Args:
        nodes: linear operators of one group, and nodes that keep channels apart (`links_of`).
        linears: the former, as arrays.
        ranges: where a channel has bounds that are equal, it is constant too.
    """
    known: Known = {}
    for node in nodes:
        results = {node.outputs[0]: _bias_of_zero_filters(linears[node])} if node in linears else _through(node, known)
        for value, numbers in results.items():
            if ranges is not None:
                low, high = ranges.of(value)
                numbers = np.where(np.isnan(numbers) & (low == high), low, numbers)
            known[value] = numbers
    return known


def is_unpadded(node: ir.Node) -> bool:
    """True if a constant input gives a Conv a constant output: nothing is padded."""
    windows = node_windows(node) or []
    explicit = all(window.auto_pad in ("NOTSET", "VALID") for window in windows)
    return explicit and not any(any(window.pads) for window in windows if window.auto_pad == "NOTSET")


def _bias_of_zero_filters(linear: Linear) -> np.ndarray:
    axis = output_axis(linear)
    used = linear.weight.any(axis=tuple(other for other in range(linear.weight.ndim) if other != axis))
    return np.where(used, np.nan, linear.bias)


def _through(node: ir.Node, known: Known) -> Known:
    links, op = links_of(node) or [], op_name(node)
    results = {y: np.full(channel_count(y) or 0, np.nan) for y in node.outputs}
    if op in BROADCASTING:
        results[node.outputs[0]] = _broadcast(node, known)
    elif op in _RULES:
        results[node.outputs[0]] = _RULES[op](node, _of(node.inputs[0], known, links))
    elif op in _UNARY:
        with np.errstate(all="ignore"):
            numbers = _UNARY[op](_of(node.inputs[0], known, links))
        results[node.outputs[0]] = np.where(np.isfinite(numbers), numbers, np.nan)
    elif op in _MOVES:
        for link in links:
            results[link.target][link.targets] = _of(link.source, known, links)[link.sources]
    return results


def _of(value: ir.Value | None, known: Known, links: Sequence[Link]) -> np.ndarray:
    if value in known:
        return known[value]
    return np.full(next((channel_count(link.source) or 0 for link in links if link.source is value), 0), np.nan)


def _broadcast(node: ir.Node, known: Known) -> np.ndarray:
    """Add, Mul and the like, of computed values and constants that are per channel."""
    y = node.outputs[0]
    channels, rank = channel_count(y) or 0, len(y.shape or ())
    operands = [_operand(value, known, channels, rank) for value in node.inputs if value is not None]
    if node.op_type == "PRelu":
        x, slope = operands
        return np.where(x >= 0, x, np.where(np.isnan(x), np.nan, x * slope))
    with np.errstate(all="ignore"):
        numbers = functools.reduce(_BINARY[node.op_type], operands)
    numbers = numbers / len(operands) if node.op_type == "Mean" else numbers
    if node.op_type == "Mul":  # nothing times zero varies
        numbers = np.where(np.any([operand == 0 for operand in operands], axis=0), 0.0, numbers)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _operand(value: ir.Value, known: Known, channels: int, rank: int) -> np.ndarray:
    array = constant(value)
    if array is None:
        return known.get(value, np.full(channels, np.nan))
    aligned = array.astype(np.float64).reshape((1,) * (rank - array.ndim) + array.shape)
    rows = np.moveaxis(aligned, 1, 0).reshape(aligned.shape[1], -1)
    uniform = np.where((rows == rows[:, :1]).all(axis=1), rows[:, 0], np.nan)
    return np.broadcast_to(uniform, (channels,))


def _batchnorm(bn: ir.Node, x: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = (_wide(value) for value in bn.inputs[1:5])
    scale = gamma / np.sqrt(variance + bn.attributes.get_float("epsilon", 1e-5))
    return np.where(gamma == 0, beta, scale * (x - mean) + beta)


def _instance_norm(norm: ir.Node, x: np.ndarray) -> np.ndarray:
    scale, bias = (_wide(value) for value in norm.inputs[1:3])
    return np.where((scale == 0) | (x == 0), bias, np.nan)


def _depthwise(conv: ir.Node, x: np.ndarray) -> np.ndarray:
    weight = _wide(conv.inputs[1]).reshape(channel_count(conv.outputs[0]) or 0, -1)
    bias = _wide(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] is not None else np.zeros(len(weight))
    x = np.repeat(x, len(weight) // len(x))
    same = (x == 0) | is_unpadded(conv)
    return np.where(~weight.any(axis=1), bias, np.where(same, weight.sum(axis=1) * x + bias, np.nan))


def _average(pool: ir.Node, x: np.ndarray) -> np.ndarray:
    counts_padding = pool.attributes.get_int("count_include_pad", 0)
    partial = pool.attributes.get_int("ceil_mode", 0) or not is_unpadded(pool)
    return np.where(x == 0, 0.0, np.nan) if counts_padding and partial else x


def _pad(pad: ir.Node, x: np.ndarray) -> np.ndarray:
    if pad.attributes.get_string("mode", "constant") != "constant":
        return x
    given = pad.inputs[2] if len(pad.inputs) > 2 else None
    filled = constant(given) if given is not None else np.asarray(pad.attributes.get_float("value", 0.0))
    return np.full_like(x, np.nan) if filled is None else np.where(x == float(filled.reshape(-1)[0]), x, np.nan)


def _resize(resize: ir.Node, x: np.ndarray) -> np.ndarray:
    extrapolates = resize.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    return np.full_like(x, np.nan) if extrapolates else x  # the weights of every mode sum to one


def _clip(clip: ir.Node, x: np.ndarray) -> np.ndarray:
    limits = []
    for index, attribute, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        given = clip.inputs[index] if len(clip.inputs) > index else None
        array = constant(given) if given is not None else np.asarray(clip.attributes.get_float(attribute, default))
        if array is None:
            return np.full_like(x, np.nan)
        limits.append(float(array.reshape(-1)[0]))
    return np.asarray(np.minimum(np.maximum(x, limits[0]), limits[1]))


def _leaky(relu: ir.Node, x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, relu.attributes.get_float("alpha", 0.01) * x, x)


def _hard_sigmoid(node: ir.Node, x: np.ndarray) -> np.ndarray:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


def _wide(value: ir.Value | None) -> np.ndarray:
    array = constant(value)
    assert array is not None  # a node whose channels are linked has constant parameters
    return array.astype(np.float64)


_BINARY: dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Div": np.divide,
    "Max": np.maximum,
    "Mean": np.add,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
    "Sum": np.add,
}
_UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Abs": np.abs,
    "Erf": np.vectorize(math.erf, otypes=[float]),
    "Exp": np.exp,
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Log": np.log,
    "Mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
_RULES: dict[str, Callable[[ir.Node, np.ndarray], np.ndarray]] = {
    "AveragePool": _average,
    "BatchNormalization": _batchnorm,
    "Clip": _clip,
    "Conv": _depthwise,
    "HardSigmoid": _hard_sigmoid,
    "InstanceNormalization": _instance_norm,
    "LeakyRelu": _leaky,
    "Pad": _pad,
    "Resize": _resize,
}
_MOVES = frozenset({"Concat", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "Identity", "MaxPool", "Reshape"})
_MOVES |= {"Slice", "Split", "Squeeze"}
