"""Relu(Conv(x, W, b) + z) => FusedConv(x, W, b, z, activation=Relu), z optional. Exact."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import is_blocked
from cnnc_passes.forms.filters import filters_of
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    has_one_reader,
    new_constant,
    producer,
    same_shape,
)

__all__ = ["FuseActivation"]


class FuseActivation(Rewrite):
    """Run a convolution, a residual block's addition and the Relu after them as one kernel.

    `com.microsoft::FusedConv` has this form in onnxruntime, in float32. Its CPU provider makes most of them by itself
    when it opens a file; laws for that provider alone go on from them. The bias is always written out, as zeros if
    need be: with z and no bias the CPU provider leaves its blocked layout.

    Declines if another node reads a result in between, the type is not float32, the weight or bias
    is not constant, z does not have exactly the output's shape (FusedConv does not broadcast), or the convolution
    is of images and z is not in the CPU provider's blocked layout, which it would have to leave.
    """

    roots = frozenset({"Relu"})
    trades = True  # a bias of zeros is read that was not there
    example = """
        g (float[N,1,4,4] x) => (float[N,1,4,4] y) <float[1,1,1,1] w = {2}, float[1] b = {1}>
        { z = Conv (x, w, b)  c = Conv (x, w)  s = Add (c, z)  y = Relu (s) }
    """

    def rewrite(self, relu: ir.Node) -> Change | Decline | None:
        """Answer for one Relu."""
        before = producer(relu.inputs[0], "Conv", "Add")
        if before is None:
            return None
        if before.op_type == "Conv":
            return self._fuse(before, None, [before, relu])
        convolutions = [conv for value in before.inputs if (conv := producer(value, "Conv")) is not None]
        if not convolutions:
            return None
        if not has_one_reader(before.outputs[0]):
            return Decline("another node reads the sum")
        if before.inputs[0] is before.inputs[1]:
            return Decline("both sides of the sum are the same convolution")
        # Of two convolutions (a block with a projection) either can absorb the sum.
        answers = [self._fuse(conv, _other(before, conv), [conv, before, relu]) for conv in convolutions]
        return next((answer for answer in answers if isinstance(answer, Change)), answers[0])

    def _fuse(self, conv: ir.Node, z: ir.Value | None, remove: list[ir.Node]) -> Change | Decline:
        result, output = conv.outputs[0], remove[-1].outputs[0]
        if not has_one_reader(result):
            return Decline("another node reads the convolution")
        if result.dtype != ir.DataType.FLOAT:
            return Decline(f"FusedConv needs float32, not {result.dtype}")
        filters = filters_of(conv)
        if isinstance(filters, Decline):
            return filters
        if z is not None and not same_shape(z, result):
            return Decline("the residual does not have exactly the output's shape")
        if z is not None and filters.weight.ndim == 4 and not is_blocked(z):
            return Decline("the residual is not in the engine's blocked layout")
        zeros = np.zeros(len(filters.weight), filters.weight.dtype)
        bias = new_constant(output, "bias", zeros) if filters.bias is None else conv.inputs[2]
        inputs = [conv.inputs[0], conv.inputs[1], bias, *([z] if z is not None else [])]
        fused = ir.node(
            "FusedConv",
            inputs,
            {**conv.attributes, "activation": "Relu"},
            domain="com.microsoft",
            name=conv.name,
            metadata_props=dict(conv.metadata_props),
        )
        return Change(remove, [fused])


def _other(add: ir.Node, conv: ir.Node) -> ir.Value | None:
    left, right = add.inputs
    return right if left is conv.outputs[0] else left
