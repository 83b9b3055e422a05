"""Transpose(f(MatMul(x, W) + b)) => f(Conv(Transpose(x), W, b)), f and b optional. Equal up to rounding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.affine import per_channel
from cnnc_passes.forms.blocked_layout import takes_blocks
from cnnc_passes.forms.elementwise import UNARY
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    constant,
    has_one_reader,
    is_stored,
    new_constant,
    op_name,
    producer,
    reading,
)

__all__ = ["LinearToConv"]

_CHANNELS_FIRST = [0, 3, 1, 2]  # (N, H, W, C) -> (N, C, H, W)


class LinearToConv(Rewrite):
    """Compute a linear layer on the channels of each pixel as a 1x1 convolution, as in ConvNeXt's blocks.

    The CPU provider's blocked 1x1 convolution is faster than its matrix product, adds the bias on the way, and is
    joined with a residual's addition. The layer before an activation follows, since its result is moved now.

    Declines if another node reads a result in between, W or b is not constant, b is not per column, the type is not
    float32, or the channels do not fit the blocked layout.
    """

    roots = frozenset({"Transpose"})
    trades = True  # x is moved, which may have more channels than the result
    example = """
        g (float[N,3,3,4] x) => (float[N,4,3,3] y)
        <float[4,4] w = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}, float[4] b = {1,2,3,4}>
        { m = MatMul (x, w)  l = Add (m, b)  r = Relu (l)  y = Transpose <perm = [0, 3, 1, 2]> (r) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the Transpose that brings the channels to the front."""
        if list(node.attributes.get_ints("perm", ())) != _CHANNELS_FIRST:
            return None
        layer = _layer_before(node.inputs[0])
        if layer is None:
            return None
        if not all(has_one_reader(one.outputs[0]) for one in layer.nodes):
            return Decline("another node reads the linear layer")
        w, b = constant(layer.weight), None if layer.bias is None else constant(layer.bias)
        if w is None or (layer.bias is not None and b is None):
            return Decline("the weight or bias is not constant")
        result, y = layer.matmul.outputs[0], node.outputs[0]
        bias = None if b is None else per_channel(b, result, 3)
        if b is not None and bias is None:
            return Decline("the bias is not per column")
        if w.dtype != np.float32:
            return Decline(f"the blocked layout is of float32, not {w.dtype}")
        inputs, outputs = w.shape
        if not takes_blocks(outputs, inputs, 1) or outputs % 4:
            return Decline("the channels do not fit the engine's blocked layout")
        metadata = dict(layer.matmul.metadata_props)
        moved = ir.node("Transpose", [layer.matmul.inputs[0]], dict(node.attributes), name=node.name)
        operands = [moved.outputs[0], new_constant(y, "weight", w.T[:, :, np.newaxis, np.newaxis])]
        if bias is not None:
            operands.append(new_constant(y, "bias", bias.astype(w.dtype)))
        conv = ir.node("Conv", operands, {"kernel_shape": [1, 1]}, name=layer.matmul.name, metadata_props=metadata)
        insert = [moved, conv]
        if layer.activation is not None:
            insert.append(reading(layer.activation, conv.outputs[0]))
        return Change([*layer.nodes, node], insert)


class _Layer(NamedTuple):
    """A MatMul of (N, H, W, C) by a stored matrix, the Add of a stored bias, and an activation, if there are any."""

    matmul: ir.Node
    weight: ir.Value
    add: ir.Node | None
    bias: ir.Value | None
    activation: ir.Node | None

    @property
    def nodes(self) -> list[ir.Node]:
        return [node for node in (self.matmul, self.add, self.activation) if node is not None]


def _layer_before(value: ir.Value | None) -> _Layer | None:
    """The linear layer, activated or not, that computes `value`; None if something else does."""
    before = value.producer() if value is not None else None
    activation = before if before is not None and op_name(before) in UNARY else None
    source = activation.inputs[0] if activation is not None else value
    if activation is not None and any(other is not None and not is_stored(other) for other in activation.inputs[1:]):
        return None  # a Clip whose bounds are computed
    add = producer(source, "Add")
    sides = [source] if add is None else list(add.inputs)
    side, matmul = next(((i, node) for i, one in enumerate(sides) if (node := producer(one, "MatMul"))), (0, None))
    bias = None if add is None else sides[1 - side]
    if matmul is None or (add is not None and (bias is None or not is_stored(bias))):
        return None
    (x, weight), shape = matmul.inputs, matmul.outputs[0].shape
    if x is None or x.shape is None or shape is None or len(x.shape) != 4 or len(shape) != 4 or is_stored(x):
        return None
    if weight is None or weight.shape is None or len(weight.shape) != 2 or not is_stored(weight):
        return None
    return _Layer(matmul, weight, add, bias, activation)
