"""Normalizations: by stored statistics a scale, by those of x itself minus what moving x moves them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step

__all__ = ["NORMALIZATIONS"]


def batch_normalization(s: Step) -> ir.Value:
    """BatchNormalization: dx = BatchNormalization(g) without shift and mean, g*scale/sqrt(var + epsilon).

    As an operator of the same kind it folds into the convolution after it to the same weight, bit for bit, as the
    forward one into the convolution before it, and they can be stored once.
    """
    if s.integer("training_mode", 0):
        s.refuse("training_mode is set")
    scale, var = _scale(s), s.input(4)
    channels = s.sizes(scale, [0])[0]
    shift, mean = (
        s.tape.constant(np.zeros(channels, (like.dtype or ir.DataType.FLOAT).numpy())) for like in (scale, var)
    )
    g = s.spread(s.g, 1, channels) if len(s.dims(s.g)) > 1 else s.g
    return s.op("BatchNormalization", g, scale, shift, mean, var, epsilon=s.attribute("epsilon", 1e-5))


def instance_normalization(s: Step) -> ir.Value:
    """InstanceNormalization: dx = `_normalized` of scale*g, over the positions of each channel."""
    scale = _scale(s)
    rank = len(s.dims(s.x))
    spread = s.op("Unsqueeze", scale, np.arange(1, rank - 1)) if rank > 2 else scale
    return _normalized(s, s.op("Mul", s.g, spread), list(range(2, rank)))


def layer_normalization(s: Step) -> ir.Value:
    """LayerNormalization: dx = `_normalized` of scale*g, over the last axes, from `axis` on."""
    rank = len(s.dims(s.x))
    axis = s.integer("axis", -1) % rank
    return _normalized(s, s.op("Mul", s.g, _scale(s)), list(range(axis, rank)))


def group_normalization(s: Step) -> ir.Value:
    """GroupNormalization: dx = `_normalized` of scale*g, over the channels of a group and their positions."""
    if s.tape.opset < 21:
        s.refuse("before opset 21 its scale is per group, which no one means")
    scale, groups = _scale(s), s.integer("num_groups", 1)
    spread = s.op("Unsqueeze", scale, np.arange(1, len(s.dims(s.x)) - 1))
    in_groups = np.array([0, groups, -1])
    g = s.op("Reshape", s.full(s.op("Mul", s.g, spread), s.x), in_groups)
    return s.reshape(_normalized(s, g, [2], s.op("Reshape", s.x, in_groups)), s.x)


def local_response(s: Step) -> ir.Value:
    """LRN: dx = g*d^-beta - 2*alpha*beta/size * x * (sum of g*x*d^(-beta - 1) over the channels around).

    d = bias + alpha/size * (sum of x^2 over the channels around), with y = x*d^-beta. An even size reaches one channel
    further up than down, and its transpose one further down.
    """
    size, alpha = s.integer("size", 1), s.attribute("alpha", 1e-4)
    beta, bias = s.attribute("beta", 0.75), s.attribute("bias", 1.0)
    down, up = (size - 1) // 2, size - 1 - (size - 1) // 2
    squares = _channel_mean(s, s.op("Mul", s.x, s.x), size, down, up)
    d = s.op("Add", s.op("Mul", squares, alpha), bias)
    own = s.op("Mul", s.g, s.op("Pow", d, -beta))
    around = _channel_mean(s, s.op("Div", s.op("Mul", own, s.x), d), size, up, down)
    return s.op("Sub", own, s.op("Mul", s.op("Mul", s.x, around), 2 * alpha * beta))


def _scale(s: Step) -> ir.Value:
    """The second input; only the first has a rule."""
    if s.index != 0:
        s.refuse("the gradient of a parameter was asked for, and only that of its input has a rule")
    return s.input(1)


def _normalized(s: Step, g: ir.Value, axes: list[int], x: ir.Value | None = None) -> ir.Value:
    """Of z = (x - mean)/std: dx = (g - mean of g - z * mean of g*z)/std, means over `axes`, std with epsilon.

    Source: Ioffe and Szegedy, Batch Normalization (2015), section 3, with the terms of the statistics put together.
    """
    along = np.array(axes, np.int64)
    x = s.x if x is None else x
    centered = s.op("Sub", x, s.op("ReduceMean", x, along, keepdims=1))
    variance = s.op("ReduceMean", s.op("Mul", centered, centered), along, keepdims=1)
    scale = s.op("Reciprocal", s.op("Sqrt", s.op("Add", variance, s.attribute("epsilon", 1e-5))))
    z = s.op("Mul", centered, scale)
    pulled = s.op("Sub", g, s.op("ReduceMean", g, along, keepdims=1))
    turned = s.op("Mul", z, s.op("ReduceMean", s.op("Mul", g, z), along, keepdims=1))
    return s.op("Mul", scale, s.op("Sub", pulled, turned))


def _channel_mean(s: Step, value: ir.Value, size: int, down: int, up: int) -> ir.Value:
    """The sum over the channels c - down to c + up, zeros beyond the ends, divided by `size`; of x's shape."""
    image = s.op("Unsqueeze", s.op("Reshape", value, np.array([0, 0, -1])), np.array([1]))  # (N, 1, C, positions)
    around = s.op("AveragePool", image, kernel_shape=[size, 1], pads=[down, 0, up, 0], count_include_pad=1)
    return s.reshape(around, s.x)


NORMALIZATIONS: dict[str, Rule] = {
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
    "GroupNormalization": group_normalization,
    "LRN": local_response,
}
