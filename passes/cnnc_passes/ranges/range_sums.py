"""Bounds of sums of products: convolutions, matrix products, normalization by known statistics, means."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.linear import Linear, linear_of
from cnnc_passes.ranges.interval import UNBOUNDED, Interval, hull, product, rounded_after
from cnnc_passes.rewrite import constant
from cnnc_passes.windows import node_windows

__all__ = ["Get", "average", "batchnorm", "linear"]

Get = Callable[[ir.Value | None], Interval]
_ZERO = Interval(np.zeros(1), np.zeros(1))
_BATCHNORM_ROUNDINGS = 16  # of one element, however an engine groups scale, mean and shift
_CHUNK = 2**22  # weights widened to float64 at a time


def linear(node: ir.Node, get: Get) -> list[Interval]:
    """Conv, ConvTranspose, Gemm, MatMul: positive weights take one end of their input, negative ones the other."""
    array = linear_of(node)
    if not isinstance(array, Linear) or _is_set(node, "transA"):
        return [UNBOUNDED]
    x = get(node.inputs[0])
    if array.op == "ConvTranspose" or (array.op == "Conv" and not _is_whole(node)):
        x = hull([x, _ZERO])  # some taps meet padding, or no input
    rows = _rows(array)
    inputs = rows.shape[1]
    ends = [np.broadcast_to(end, (inputs * array.groups,)).reshape(array.groups, inputs) for end in x]
    step = max(1, _CHUNK // max(1, rows[0].size))
    lows, highs, magnitudes = [], [], []
    for first in range(0, len(rows), step):
        chunk = rows[first : first + step].astype(np.float64)
        group = np.arange(first, first + len(chunk)) // (len(rows) // array.groups)
        kernel = tuple(range(2, chunk.ndim))
        up, down = np.maximum(chunk, 0).sum(axis=kernel), np.minimum(chunk, 0).sum(axis=kernel)
        lows.append(_dot(up, ends[0][group]) + _dot(down, ends[1][group]))
        highs.append(_dot(up, ends[1][group]) + _dot(down, ends[0][group]))
        magnitudes.append(_dot(up - down, np.maximum(np.abs(ends[0]), np.abs(ends[1]))[group]))
    alpha = np.array([array.alpha])
    scaled = product(Interval(np.concatenate(lows), np.concatenate(highs)), Interval(alpha, alpha))
    bounds = Interval(scaled.low + array.bias, scaled.high + array.bias)
    magnitude = np.concatenate(magnitudes) * abs(alpha) + np.abs(array.bias)
    bounds = rounded_after(bounds, magnitude, math.prod(rows.shape[1:]) + 4, node.outputs[0].dtype)
    used = rows.reshape(len(rows), -1).any(axis=1)  # where all weights are zero nothing is added to the bias
    return [Interval(np.where(used, bounds.low, array.bias), np.where(used, bounds.high, array.bias))]


def batchnorm(node: ir.Node, get: Get) -> list[Interval]:
    """The affine map that it is, with a scale of exactly zero leaving beta."""
    parameters = [constant(value) for value in node.inputs[1:5]]
    if any(p is None for p in parameters) or _is_set(node, "training_mode"):
        return [UNBOUNDED]
    gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters if p is not None)
    x = get(node.inputs[0])
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        shift = beta - mean * scale
        magnitude = np.abs(scale) * (x.magnitude + np.abs(mean)) + np.abs(beta)
    bounds = product(x, Interval(scale, scale))
    bounds = Interval(bounds.low + shift, bounds.high + shift)
    bounds = rounded_after(bounds, magnitude, _BATCHNORM_ROUNDINGS, node.outputs[0].dtype)
    return [Interval(np.where(gamma == 0, beta, bounds.low), np.where(gamma == 0, beta, bounds.high))]


def average(node: ir.Node, get: Get) -> list[Interval]:
    """AveragePool, GlobalAveragePool: a mean lies between its terms, and of one sign has that sign."""
    value = node.inputs[0]
    x = get(value)
    if node.op_type == "AveragePool":
        count = float(math.prod(node.attributes["kernel_shape"].as_ints()))
        if node.attributes.get_int("count_include_pad", 0) and not _is_whole(node):
            x = hull([x, _ZERO])
    else:
        shape = value.shape if value is not None and value.shape is not None else (0, 0, None)
        count = math.prod(size if isinstance(size, int) else math.inf for size in shape[2:])
    bounds = rounded_after(x, x.magnitude, count + 2, node.outputs[0].dtype)
    low = np.where(x.low >= 0, np.maximum(bounds.low, 0), bounds.low)
    high = np.where(x.high <= 0, np.minimum(bounds.high, 0), bounds.high)
    return [Interval(np.where(x.magnitude == 0, 0.0, low), np.where(x.magnitude == 0, 0.0, high))]


def _rows(array: Linear) -> np.ndarray:
    """The weight as (C_out, C_in/groups, *kernel)."""
    weight = array.weight
    if array.op == "ConvTranspose":
        turned = weight.reshape(array.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
        return turned.reshape(-1, turned.shape[2], *weight.shape[2:])
    return weight.T if array.op == "Gemm" and not array.transposed else weight


def _dot(matrix: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Row by row; what has no weight adds nothing, not even an open end."""
    with np.errstate(invalid="ignore"):
        products = matrix * ends
    return np.asarray(np.where(matrix == 0, 0.0, products).sum(axis=1))


def _is_set(node: ir.Node, name: str) -> bool:
    return bool(node.attributes.get_int(name, 0))


def _is_whole(node: ir.Node) -> bool:
    """True if every window lies inside the input."""
    windows = node_windows(node)
    return windows is not None and not any(
        window.auto_pad in ("SAME_UPPER", "SAME_LOWER")
        or (window.auto_pad == "NOTSET" and any(window.pads))
        or window.ceil_mode
        for window in windows
    )
