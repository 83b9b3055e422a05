"""A convolution as the fully connected layer it stands for, and a fully connected layer as a convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from cnnc.analysis.layer import ConvolutionForm, FullyConnected
from cnnc_passes.rewrite import op_name
from cnnc_passes.sizes import concrete_shape
from cnnc_passes.windows import CONVOLUTIONS

__all__ = ["as_convolution", "as_fully_connected"]

# What may stand between a feature map and the layer that reads it as a vector, and leaves the values as they are.
_FLATTENING = frozenset({"Flatten", "Reshape", "Squeeze", "Identity", "Dropout"})


def as_fully_connected(node: ir.Node, sizes: Mapping[str, int]) -> FullyConnected | None:
    """The dense layer with one weight from each input value (C*H*W) to each output value; None if not a convolution.

    It has a bias per output value where the convolution has one per channel. Example: six 5x5 filters on
    3x32x32 are 456 parameters; 3072 inputs fully connected to 6*28*28 outputs are 3072*4704 + 4704 = 14,455,392.
    """
    if op_name(node) not in CONVOLUTIONS or node.inputs[0] is None:
        return None
    x, y = concrete_shape(node.inputs[0], sizes), concrete_shape(node.outputs[0], sizes)
    if x is None or y is None:
        return None
    inputs, outputs = math.prod(x[1:]), math.prod(y[1:])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    params = inputs * outputs + (outputs if has_bias else 0)
    return FullyConnected(params=params, macs=x[0] * inputs * outputs, weight_bytes=params * _item_bytes(node))


def as_convolution(node: ir.Node, sizes: Mapping[str, int]) -> ConvolutionForm | None:
    """The convolution that a fully connected layer is on the feature map it reads; None if it is no such layer.

    A layer on 512x7x7 values that were flattened is a 7x7 convolution of 512 channels, which fits exactly once;
    one on a plain vector, or on the channels of each position, is a 1x1 convolution.
    Long, Shelhamer and Darrell, Fully Convolutional Networks (2015).
    """
    if node.op_type not in ("Gemm", "MatMul") or len(node.inputs) < 2 or node.inputs[0] is None:
        return None
    weight = node.inputs[1]
    if weight is None or weight.const_value is None or len(weight.const_value.shape) != 2:
        return None
    rows, columns = weight.const_value.shape.numpy()
    transposed = bool(node.op_type == "Gemm" and node.attributes.get_int("transB", 0))
    inputs, outputs = (columns, rows) if transposed else (rows, columns)
    kernel = _flattened_from(node.inputs[0], inputs, sizes)
    return ConvolutionForm(inputs // math.prod(kernel), outputs, kernel)


def _flattened_from(value: ir.Value, features: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Height and width of the map whose C*H*W values are the `features` of this vector; 1x1 if there is none."""
    current: ir.Value | None = value
    while current is not None:
        shape = concrete_shape(current, sizes)
        if shape is not None and len(shape) > 2 and math.prod(shape[1:]) == features:
            return shape[2:]
        producer = current.producer()
        current = producer.inputs[0] if producer is not None and producer.op_type in _FLATTENING else None
    return (1, 1)


def _item_bytes(node: ir.Node) -> int:
    weight = node.inputs[1]
    dtype = None if weight is None else weight.const_value.dtype if weight.const_value is not None else weight.dtype
    return math.ceil(dtype.bitwidth / 8) if dtype is not None else 4
