"""A convolution as the fully connected layer it stands for: in*out + out parameters, not k*k*c_in*c_out + c_out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from cnnc.analysis.result import FullyConnected
from cnnc_passes.rewrite import op_name
from cnnc_passes.sizes import concrete_shape
from cnnc_passes.windows import CONVOLUTIONS

__all__ = ["as_fully_connected"]


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
    return FullyConnected(params=inputs * outputs + (outputs if has_bias else 0), macs=x[0] * inputs * outputs)
