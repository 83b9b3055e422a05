"""Graphs for fold-batchnorm."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm, conv_bn
from tests.contract.edits import expose, overridable, set_attribute, to_float16
from tests.contract.graphs import model, node, weights


def conv_transpose_bn(groups: int = 1) -> onnx.ModelProto:
    """C_in differs from C_out, so that the weight's axes cannot be mixed up."""
    constants = {"w": weights(4, 6 // groups, 3, 3), "b": weights(6), **batchnorm(6)}
    conv = node("ConvTranspose", "x w b", "c", group=groups, strides=[2, 2])
    bn = node("BatchNormalization", "c gamma beta mean var", "y")
    return model([conv, bn], {"x": ["batch", 4, 5, 5]}, ["y"], constants)


def gemm_bn(trans_b: int = 1, alpha: float = 0.5, beta: float = 2.0) -> onnx.ModelProto:
    constants = {"w": weights(6, 4) if trans_b else weights(4, 6), "b": weights(6), **batchnorm(6)}
    gemm = node("Gemm", "x w b", "c", transB=trans_b, alpha=alpha, beta=beta)
    bn = node("BatchNormalization", "c gamma beta mean var", "y")
    return model([gemm, bn], {"x": ["batch", 4]}, ["y"], constants)


def conv_bn_with(**replaced: np.ndarray) -> onnx.ModelProto:
    proto = conv_bn()
    for tensor in proto.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(onnx.numpy_helper.from_array(replaced[tensor.name], tensor.name))
    return proto


def float16_overflow() -> onnx.ModelProto:
    """A gamma of 6e4 over a deviation of 0.03 is a factor of 2e6: finite in float32, not in float16."""
    small, large = np.full(6, 1e-6, np.float32), np.full(6, 6e4, np.float32)
    return to_float16(conv_bn_with(var=small, gamma=large))


def gemm_bn_with_matrix_bias() -> onnx.ModelProto:
    constants = {"w": weights(4, 6), "b": weights(2, 6), **batchnorm(6)}
    nodes = [node("Gemm", "x w b", "c"), node("BatchNormalization", "c gamma beta mean var", "y")]
    return model(nodes, {"x": [2, 4]}, ["y"], constants)


def across_an_activation() -> onnx.ModelProto:
    nodes = [
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("BatchNormalization", "r gamma beta mean var", "y"),
    ]
    return model(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"w": weights(6, 4, 3, 3), **batchnorm(6)})


SAMPLES: dict[str, Sample] = {
    "conv-1d": lambda: conv_bn(1),
    "conv-2d": lambda: conv_bn(2),
    "conv-3d": lambda: conv_bn(3),
    "no-bias": lambda: conv_bn(bias=False),
    "grouped": lambda: conv_bn(groups=2),
    "dilated": lambda: conv_bn(dilation=2),
    "transposed": conv_transpose_bn,
    "transposed-grouped": lambda: conv_transpose_bn(groups=2),
    "gemm": gemm_bn,
    "gemm-untransposed": lambda: gemm_bn(trans_b=0, alpha=1.0, beta=1.0),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Conv": lambda: expose(conv_bn(), "c"),
    "training_mode is set": lambda: set_attribute(conv_bn(), 1, training_mode=1),
    "statistics are per position": lambda: set_attribute(conv_bn(), 1, spatial=0),
    "is not constant": lambda: overridable(conv_bn(), "gamma"),
    "variance + epsilon is not positive": lambda: conv_bn_with(var=np.full(6, -1, np.float32)),
    "does not fit float16": float16_overflow,
    "is not per output channel": gemm_bn_with_matrix_bias,
}

LEAVES: dict[str, Sample] = {"an activation lies between": across_an_activation}
