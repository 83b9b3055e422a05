"""Reshape(InstanceNorm(Reshape(x, (N, G, -1))))*s + t => GroupNormalization(x, s, t) of G. Equal up to rounding."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.affine import Affine, affine_of
from cnnc_passes.forms.linear import fits
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    constant,
    has_one_reader,
    new_constant,
    opset,
    producer,
    same_shape,
)

__all__ = ["RecogniseGroupnorm"]


class RecogniseGroupnorm(Rewrite):
    """Name a normalization over groups of channels, which exporters spell with five operators.

    For the target `portable`: onnxruntime's CPU provider expands GroupNormalization into more than fifteen. Scale
    and shift may be missing, or be the InstanceNormalization's.

    Declines if another node reads a result in between, the opset is below 21 (where there is a scale per group,
    not per channel), the first Reshape does not keep the batch and split the channels, a parameter of the
    InstanceNormalization is not constant, the type is not float32 or float16, or a merged parameter does not fit
    the type.
    """

    roots = frozenset({"InstanceNormalization"})
    example = """
        g (float[N,4,3,3] x) => (float[N,4,3,3] y)
        <int64[3] grouped = {0,2,-1}, float[2] one = {1,1}, float[2] zero = {0,0}, int64[4] back = {0,4,3,3},
         float[4,1,1] s = {1,2,3,4}, float[4,1,1] t = {5,6,7,8}>
        {
            r = Reshape (x, grouped)
            i = InstanceNormalization (r, one, zero)
            n = Reshape (i, back)
            m = Mul (n, s)
            y = Add (m, t)
        }
    """

    def rewrite(self, norm: ir.Node) -> Change | Decline | None:
        """Answer for the InstanceNormalization in the middle."""
        before, after = producer(norm.inputs[0], "Reshape"), _reader(norm)
        x = before.inputs[0] if before is not None else None
        if before is None or x is None or after is None or after.op_type != "Reshape":
            return None
        if not same_shape(x, after.outputs[0]):
            return None  # a normalization of something else
        if not has_one_reader(before.outputs[0]) or not has_one_reader(norm.outputs[0]):
            return Decline("another node reads a result in between")
        if opset(norm) < 21:
            return Decline("GroupNormalization has a scale per channel from opset 21 on")
        if x.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
            return Decline(f"the type is {x.dtype}: GroupNormalization computes in float32")
        groups = _groups(x, before.outputs[0])
        if groups is None:
            return Decline("the first Reshape does not keep the batch and split the channels")
        parameters = [constant(value) for value in norm.inputs[1:3]]
        if any(array is None for array in parameters):
            return Decline("a parameter of the InstanceNormalization is not constant")
        assert x.shape is not None and isinstance(x.shape[1], int)
        scale, shift = (
            np.repeat(array.astype(np.float64), x.shape[1] // groups) for array in parameters if array is not None
        )
        whole = Affine((before, norm, after), x, scale, shift)
        while (step := _affine_after(whole.nodes[-1])) is not None:
            whole = step.after(whole)
        dtype = x.dtype.numpy()
        if not (fits(whole.scale, dtype) and fits(whole.shift, dtype)):
            return Decline(f"a merged parameter does not fit {dtype}")
        y = whole.nodes[-1].outputs[0]
        named = ir.node(
            "GroupNormalization",
            [
                x,
                new_constant(y, "scale", whole.scale.astype(dtype)),
                new_constant(y, "bias", whole.shift.astype(dtype)),
            ],
            {"num_groups": groups, "epsilon": norm.attributes.get_float("epsilon", 1e-5)},
            name=norm.name,
            metadata_props=dict(norm.metadata_props),
        )
        return Change(whole.nodes, [named])


def _reader(node: ir.Node) -> ir.Node | None:
    """The node that reads the result, where it is a single one."""
    readers = {use.node for use in node.outputs[0].uses()}
    return readers.pop() if len(readers) == 1 else None


def _groups(x: ir.Value, grouped: ir.Value) -> int | None:
    """How many groups of channels; None where it is not known that `grouped` is (N, G, ...)."""
    if x.shape is None or grouped.shape is None or len(x.shape) < 3 or len(grouped.shape) < 3:
        return None
    (batch, channels), (items, groups) = x.shape[:2], grouped.shape[:2]
    if batch != items or not (isinstance(batch, int) or batch.value is not None):
        return None
    if not isinstance(channels, int) or not isinstance(groups, int) or groups < 1 or channels % groups:
        return None
    return groups


def _affine_after(node: ir.Node) -> Affine | None:
    """The Mul, Add or the like that alone reads the result, along the channels."""
    reader = _reader(node) if has_one_reader(node.outputs[0]) else None
    step = affine_of(reader) if reader is not None and reader.graph is node.graph else None
    return step if isinstance(step, Affine) and same_shape(step.x, step.nodes[-1].outputs[0]) else None
