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


def matmul_bn(bias: str = "m b", opset: int = 20) -> onnx.ModelProto:
    """What an `nn.Linear` is in some exporters: MatMul, and an Add of the bias on either side."""
    constants = {"w": weights(4, 6), **batchnorm(6), **({"b": weights(6)} if bias else {})}
    nodes = [node("MatMul", "x w", "m"), *([node("Add", bias, "c")] if bias else [])]
    nodes.append(node("BatchNormalization", f"{'c' if bias else 'm'} gamma beta mean var", "y"))
    return model(nodes, {"x": ["batch", 4]}, ["y"], constants, opset=opset)


def matmul_bn_at_rank_3() -> onnx.ModelProto:
    """The channels of the BatchNormalization are axis 1, the columns of the MatMul axis 2."""
    nodes = [node("MatMul", "x w", "m"), node("BatchNormalization", "m gamma beta mean var", "y")]
    return model(nodes, {"x": ["batch", 6, 4]}, ["y"], {"w": weights(4, 6), **batchnorm(6)})


def gemm_bn_with_column() -> onnx.ModelProto:
    """A bias of one number a row, (M, 1)."""
    constants = {"w": weights(4, 6), "b": weights(6, 1), **batchnorm(6)}
    nodes = [node("Gemm", "x w b", "c"), node("BatchNormalization", "c gamma beta mean var", "y")]
    return model(nodes, {"x": [6, 4]}, ["y"], constants)


def tied() -> onnx.ModelProto:
    """One weight and bias, two convolutions, one BatchNormalization."""
    nodes = [
        node("Conv", "x w b", "c"),
        node("BatchNormalization", "c gamma beta mean var", "y"),
        node("Conv", "x w b", "z"),
    ]
    constants = {"w": weights(6, 4, 3, 3), "b": weights(6), **batchnorm(6)}
    return model(nodes, {"x": ["batch", 4, 5, 5]}, ["y", "z"], constants)


def statistics_read() -> onnx.ModelProto:
    """Before opset 14 the running statistics are outputs of the inference form too."""
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c gamma beta mean var", "y average spread")]
    constants = {"w": weights(6, 4, 3, 3), **batchnorm(6)}
    return model(nodes, {"x": ["batch", 4, 5, 5]}, ["y", "average"], constants, opset=9)


def float32_statistics() -> onnx.ModelProto:
    """A Conv in float16 under a BatchNormalization whose statistics are float32, as mixed precision leaves it."""
    proto, wide = to_float16(conv_bn()), conv_bn()
    proto.opset_import[0].version = 15
    for mixed, original in zip(proto.graph.initializer, wide.graph.initializer, strict=True):
        if original.name in ("gamma", "beta", "mean", "var"):
            mixed.CopyFrom(original)
    return proto


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
    "matmul": lambda: matmul_bn(""),
    "matmul-add": matmul_bn,
    "matmul-add-left": lambda: matmul_bn("b m"),
    "matmul-opset-9": lambda: matmul_bn("", opset=9),
    "tied-weights": tied,
    "zero-variance": lambda: conv_bn_with(var=np.zeros(6, np.float32)),
    "zero-gamma": lambda: conv_bn_with(gamma=np.zeros(6, np.float32)),
    "negative-gamma": lambda: conv_bn_with(gamma=np.full(6, -0.8, np.float32)),
    "float32-statistics": float32_statistics,
}

DECLINES: dict[str, Sample] = {
    "another node reads the Conv": lambda: expose(conv_bn(), "c"),
    "training_mode is set": lambda: set_attribute(conv_bn(), 1, training_mode=1),
    "statistics are per position": lambda: set_attribute(conv_bn(), 1, spatial=0),
    "another node reads the ConvTranspose": lambda: expose(conv_transpose_bn(), "c"),
    "another node reads the MatMul": lambda: expose(matmul_bn(), "m"),
    "another node reads the Add": lambda: expose(matmul_bn(), "c"),
    "its running statistics are read": statistics_read,
    "parameter of the BatchNormalization is not constant": lambda: overridable(conv_bn(), "gamma"),
    "the weight or bias is not constant": lambda: overridable(conv_bn(), "w"),
    "weight or bias is not constant": lambda: overridable(matmul_bn(), "b"),
    "variance + epsilon is not positive": lambda: conv_bn_with(var=np.full(6, -1, np.float32)),
    "does not fit float16": float16_overflow,
    "bias of shape (2, 6) is not per output channel": gemm_bn_with_matrix_bias,
    "bias of shape (6, 1) is not per output channel": gemm_bn_with_column,
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": across_an_activation,
    "MatMul at rank 3": matmul_bn_at_rank_3,
}
