"""s * Transpose(MatMul(x, W) + b) => Transpose(MatMul(x, W*s) + b*s); b, Transpose optional. Equal up to rounding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.affine import Affine, affine_of, per_channel
from cnnc_passes.forms.linear import fits
from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, has_one_reader, is_stored, new_constant, producer

__all__ = ["FoldLayerScale"]


class FoldLayerScale(Rewrite):
    """Fold a scale per channel into the linear layer before it whose channels come last, as in ConvNeXt's blocks.

    At rank 2 the layer is a Gemm, and fold-scale's.

    Declines if another node reads a result in between, the scale varies along another axis than the columns of W
    or may be overridden, W or b is not constant, b is not per column, or a folded value does not fit W's type.
    """

    roots = frozenset({"Div", "Mul"})
    example = """
        g (float[N,5,2] x) => (float[N,5,2] y) <float[2,2] w = {1,2,3,4}, float[2] b = {1,2}, float[2] s = {10,100}>
        { m = MatMul (x, w)  l = Add (m, b)  y = Mul (l, s) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one Mul or Div."""
        layer = next((found for value in node.inputs if (found := _layer_before(value)) is not None), None)
        if layer is None:
            return None
        affine = affine_of(node, layer.axis)
        if not isinstance(affine, Affine):
            return affine
        if not all(has_one_reader(one.outputs[0]) for one in layer.nodes):
            return Decline("another node reads the linear layer")
        w, b = constant(layer.weight), None if layer.bias is None else constant(layer.bias)
        if w is None or (layer.bias is not None and b is None):
            return Decline("the weight or bias is not constant")
        bias = np.zeros(w.shape[-1]) if b is None else per_channel(b, layer.nodes[0].outputs[0], layer.last)
        if bias is None:
            return Decline("the bias is not per column")
        weight, bias = w.astype(np.float64) * affine.scale, bias * affine.scale
        if not (fits(weight, w.dtype) and fits(bias, w.dtype)):
            return Decline(f"a folded value does not fit {w.dtype}")
        role = {"MatMul": ("weight", weight), "Add": ("bias", bias)}
        insert: list[ir.Node] = []
        value = layer.nodes[0].inputs[0]
        for one in layer.nodes:
            constants = [role[one.op_type]] if one.op_type in role else []
            operands = [new_constant(node.outputs[0], name, array.astype(w.dtype)) for name, array in constants]
            metadata = dict(one.metadata_props)
            attributes = dict(one.attributes)
            insert.append(ir.node(one.op_type, [value, *operands], attributes, name=one.name, metadata_props=metadata))
            value = insert[-1].outputs[0]
        return Change([*layer.nodes, node], insert)


class _Layer(NamedTuple):
    """MatMul, Add if it has a bias, Transpose if there is one; `last` is the columns' axis, `axis` where it ends up."""

    nodes: tuple[ir.Node, ...]
    weight: ir.Value
    bias: ir.Value | None
    last: int
    axis: int


def _layer_before(value: ir.Value | None) -> _Layer | None:
    """The linear layer on channels that come last, of rank 3 and more, that computes `value`; None if another does."""
    transpose = producer(value, "Transpose")
    source = transpose.inputs[0] if transpose is not None else value
    add = producer(source, "Add")
    sides = [source] if add is None else list(add.inputs)
    side, matmul = next(((i, node) for i, one in enumerate(sides) if (node := producer(one, "MatMul"))), (0, None))
    if matmul is None or matmul.inputs[1] is None or matmul.outputs[0].shape is None:
        return None
    rank, weight, bias = len(matmul.outputs[0].shape), matmul.inputs[1], None if add is None else sides[1 - side]
    if rank < 3 or weight.shape is None or len(weight.shape) != 2:
        return None
    if not is_stored(weight) or (bias is not None and not is_stored(bias)):
        return None  # the product, or the sum, of two results
    order = list(range(rank)) if transpose is None else list(transpose.attributes["perm"].as_ints())
    nodes = tuple(node for node in (matmul, add, transpose) if node is not None)
    return _Layer(nodes, weight, bias, rank - 1, order.index(rank - 1))
