"""Conv(s*x + t, W, b) => Conv(x, W*s, b + sum(W*t)), or Conv(x + t/s, W*s, b) if it pads. Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.affine import affine_before
from cnnc_passes.forms.compose import fold_before
from cnnc_passes.forms.linear import linear_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, producer

__all__ = ["FoldScaleForward"]


class FoldScaleForward(Rewrite):
    """Fold per-channel Mul, Div, Add, Sub, Neg and BatchNormalization into the Conv, ConvTranspose or Gemm after them.

    A Gemm may read them through a Flatten. The shift of a Conv that pads stays before it, as t/s, since what it
    would add is not the same at the border; a ConvTranspose has one without padding too.

    Declines if another node reads the affine map, a constant varies along another axis than the channels' or may be
    overridden, the weight is not constant, one node alone has a shift that must stay (nothing would be saved),
    s is 0 or t/s overflows where t/s must stay, a Gemm's input is transposed, or a folded value does not fit
    the weight's type. Also as fold-batchnorm, where a BatchNormalization cannot be folded.
    """

    roots = frozenset({"Conv", "ConvTranspose", "Gemm"})
    example = """
        g (float[N,2,4,4] x) => (float[N,1,4,4] y)
        <float[2,1,1] s = {2,10}, float[2,1,1] t = {1,3}, float[1,2,1,1] w = {1,5}>
        { m = Mul (x, s)  a = Add (m, t)  y = Conv (a, w) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one linear operator."""
        flatten = _flatten_before(node)
        affine = affine_before(flatten.inputs[0] if flatten is not None else node.inputs[0])
        if affine is None or isinstance(affine, Decline):
            return affine
        linear = linear_of(node)
        if linear is None or isinstance(linear, Decline):
            return linear
        if node.attributes.get_int("transA", 0):
            return Decline("the input of the Gemm is transposed")
        return fold_before(linear, affine, flatten)


def _flatten_before(gemm: ir.Node) -> ir.Node | None:
    """The Flatten that makes rows of (C, *spatial), which is a Gemm's alone."""
    flatten = producer(gemm.inputs[0], "Flatten") if gemm.op_type == "Gemm" else None
    if flatten is None or flatten.attributes.get_int("axis", 1) != 1 or not has_one_reader(flatten.outputs[0]):
        return None
    return flatten
