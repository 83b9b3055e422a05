"""A linear operator and the affine map beside it as one: s*(W*x + b) + t = (s*W)*x + (s*b + t); W*(s*x + t) + b.

Constants are computed in float64: the fold adds one rounding, not several.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.affine import Affine, affine_of
from cnnc_passes.forms.linear import Linear, fits, linear_before
from cnnc_passes.rewrite import Change, Decline, new_constant

__all__ = ["fold_after", "fold_before"]


def fold_after(node: ir.Node) -> Change | Decline | None:
    """`node`, an affine map of a linear operator's result, by its output channels; None if it is not one."""
    affine = affine_of(node)
    if affine is None:
        return None
    linear = next((found for value in node.inputs if (found := linear_before(value)) is not None), None)
    if linear is None:
        return None
    if isinstance(linear, Decline):
        return linear
    if isinstance(affine, Decline):
        return affine
    weight = _scaled(linear, linear.along_outputs(affine.scale), affine.scale)
    folded = linear.with_constants(node.outputs[0], weight, linear.bias * affine.scale + affine.shift)
    return folded if isinstance(folded, Decline) else Change([*linear.nodes, node], [folded])


def fold_before(linear: Linear, affine: Affine, mover: ir.Node | None = None, axis: int = 1) -> Change | Decline:
    """The affine map of the linear operator's input, by its input channels.

    Where the operator pads, or is transposed, the shift does not commute: padding is 0, not `shift`. Then
    W*(s*x + t) = (s*W)*(x + t/s), and the addition stays. In the bias, a shift far above the deviation of s*x costs
    the sums as many bits as it is larger; x + t/s loses none.

    Args:
        linear: one node.
        affine: what `linear` reads, or what `mover` reads.
        mover: a Transpose or Flatten between the two.
        axis: the channels' in the affine map; they are axis 1 of what `linear` reads.
    """
    node, output = linear.nodes[-1], linear.nodes[-1].outputs[0]
    repeats = linear.in_channels // affine.scale.size  # Flatten puts a channel's positions one after the other
    scale, shift = np.repeat(affine.scale, repeats), np.repeat(affine.shift, repeats)
    bias, residue = None, None
    if np.any(shift) and not _has_border(node):
        bias = linear.bias + linear.summed_over(shift)
    elif np.any(shift):
        if len(affine.nodes) == 1:  # one addition for one node: no gain, and it ends the layout that a BN leaves alone
            return Decline("the shift does not commute with the border")
        residue = _quotient(affine.shift, affine.scale)
        if residue is None or not fits(residue, linear.weight.dtype):
            return Decline("the shift over the scale is not finite")
    weight = _scaled(linear, linear.along_inputs(scale), scale)
    folded = linear.with_constants(output, weight, bias)
    if isinstance(folded, Decline):
        return folded
    return _rewired(linear, affine, folded, residue, mover, axis)


def _rewired(
    linear: Linear, affine: Affine, folded: ir.Node, residue: np.ndarray | None, mover: ir.Node | None, axis: int
) -> Change:
    """Feed x (+ residue), moved, into the folded operator."""
    node, output, x = linear.nodes[-1], linear.nodes[-1].outputs[0], affine.x
    insert: list[ir.Node] = []
    if residue is not None:
        assert x.shape is not None
        shape = (-1, *(1,) * (len(x.shape) - axis - 1))
        constant = new_constant(output, "shift", residue.astype(linear.weight.dtype).reshape(shape))
        insert.append(ir.node("Add", [x, constant], name=affine.nodes[-1].name))
        x = insert[-1].outputs[0]
    if mover is not None:
        insert.append(ir.node(mover.op_type, [x], dict(mover.attributes), name=mover.name))
        x = insert[-1].outputs[0]
    folded.replace_input_with(0, x)
    return Change([*affine.nodes, *([mover] if mover is not None else []), node], [*insert, folded])


def _scaled(linear: Linear, factor: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    """The weight times `factor`; None where it stays as it is, to be shared further."""
    return None if np.all(scale == 1) else linear.weight.astype(np.float64) * factor


def _quotient(shift: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    """shift/scale, and 0 where shift is; None if a channel has a shift and no scale."""
    shifted = shift != 0
    if np.any(scale[shifted] == 0):
        return None
    return np.asarray(np.divide(shift, scale, out=np.zeros_like(shift), where=shifted))


def _has_border(node: ir.Node) -> bool:
    """True if some outputs see fewer inputs than others: zero padding, or the overlaps of a transposed convolution."""
    if node.op_type == "ConvTranspose":
        return True
    padded = any(node.attributes.get_ints("pads", []))
    return padded or node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
