"""Graphs for prune-constant."""

from __future__ import annotations

import numpy as np

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights
from tests.contract.zeroed_filters import (
    all_zero,
    between,
    concatenated,
    conv_bn_conv,
    conv_relu_conv,
    depthwise,
    grouped,
    no_zeros,
    one_padded_constant,
    one_zero_channel,
    shared_reader,
    two_padded_readers,
)
from tests.contract.zeroed_nets import classifier, perceptron, residual, squeeze_excitation, transposed, zeroed

_PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1])
_DOUBLE = np.array([1, 1, 2, 2], np.float32)

SAMPLES: dict[str, Sample] = {
    "1d": lambda: conv_relu_conv(1),
    "2d": conv_relu_conv,
    "3d": lambda: conv_relu_conv(3),
    "padded, all zero": lambda: conv_relu_conv(pad=1, bias=(1, -1, 1, 1, 0, 1)),
    "padded, one of two zero": lambda: conv_relu_conv(pad=1),
    "batchnorm": conv_bn_conv,
    "batchnorm, negative beta": lambda: conv_bn_conv(beta_of_zeros=-1),
    "batchnorm, beta, unpadded": lambda: conv_bn_conv(beta_of_zeros=0.7, pad=0, relu=False),
    "padded, one stands in for the others": lambda: conv_bn_conv(beta_of_zeros=0.7),
    "padded, two readers": two_padded_readers,
    "conv-transpose, one stands in for the other": lambda: transposed(bias=True),
    "residual": residual,
    "residual, one agrees": lambda: residual(first=(1, 4), second=(2, 4)),
    "flatten": classifier,
    "reshape": lambda: classifier(flat="Reshape", trans_b=0, alpha=1.0),
    "matmul": perceptron,
    "conv-transpose": transposed,
    "squeeze-excitation": squeeze_excitation,
    "depthwise": depthwise,
    "depthwise, bias": lambda: depthwise(bias=True),
    "depthwise, twice the channels": lambda: depthwise(multiplier=2),
    "concat": concatenated,
    "shared reader": shared_reader,
    "all zero": all_zero,
    "scale and shift": between(
        node("Mul", "a k", "m"), node("Add", "b m", "t"), k=weights(1, 6, 1, 1), b=weights(6, 1, 1)
    ),
    "layer scale of zero": between(node("Mul", "a k", "t"), k=zeroed(weights(1, 6, 1, 1), 2, axis=1)),
    "per position": between(node("Mul", "a k", "t"), k=weights(6, 7, 7)),
    "prelu": between(node("PRelu", "a k", "t"), k=weights(6, 1, 1)),
    "hard-swish": between(node("Sub", "a b", "s"), node("HardSwish", "s", "t"), b=weights(6, 1, 1)),
    "sigmoid": between(node("Sigmoid", "a", "t")),
    "clip": between(node("Clip", "a low high", "t"), low=np.float32(0.25), high=np.float32(6)),
    "average-pool": between(node("AveragePool", "a", "t", kernel_shape=[3, 3], pads=[1, 1, 1, 1])),
    "instance-normalization": between(node("InstanceNormalization", "a s b", "t"), s=weights(6), b=weights(6)),
    "pad": between(node("Pad", "a p", "t"), p=_PADS),
    "resize": between(node("Resize", "a _ k", "t", mode="nearest"), k=_DOUBLE),
    "split": between(node("Split", "a k", "t z", axis=1), node("Neg", "z", "n"), channels=4, k=np.array([4, 2])),
    "slice": between(
        node("Slice", "a s e c", "t"), channels=4, s=np.array([1]), e=np.array([5]), c=np.array([1])
    ),
}  # fmt: skip

DECLINES: dict[str, Sample] = {
    "padding follows, the constant is not 0": one_padded_constant,
    "not every reader sees a constant": lambda: residual(first=(1,), second=(4,)),
    "the other side of a sum varies": lambda: residual(first=(), second=(1, 4)),
    "one channel has to stay": one_zero_channel,
    "the caller sees 'r'": lambda: expose(conv_relu_conv(), "r"),
    "Conv 'Conv_y': the weight or bias is not constant": lambda: overridable(conv_relu_conv(), "v"),
    "Conv 'Conv_y': its groups would become unequal": lambda: grouped(first=False),
    "GlobalLpPool 'GlobalLpPool_t' does not keep the channels apart": lambda: model(
        [node("Conv", "x w", "a"), node("GlobalLpPool", "a", "t"), node("Neg", "t", "y")],
        {"x": ["batch", 3, 9, 9]},
        ["y"],
        {"w": zeroed(weights(6, 3, 3, 3), 1)},
    ),
    "takes it as a parameter": lambda: model(
        [node("Conv", "x w", "a"), node("Conv", "z a", "y")],
        {"x": [4, 3, 5, 5], "z": [1, 6, 5, 5]},
        ["y"],
        {"w": zeroed(weights(6, 3, 3, 3), 1)},
    ),
}

LEAVES: dict[str, Sample] = {
    "nothing is constant": no_zeros,
    "a caller may fill the filters": lambda: overridable(conv_relu_conv(), "w"),
    "groups": lambda: grouped(first=True),
}
