"""Conv(x, W, b) * s => Conv(x, W*s, b*s), s per channel; / s and -Conv(x) likewise. Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.compose import fold_after
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["FoldScale"]


class FoldScale(Rewrite):
    """Fold a Mul or Div by a constant, or a Neg, into the Conv, ConvTranspose, Gemm or MatMul before it.

    s / Conv(x) is not linear, and stays.

    Declines if another node reads the convolution, the constant varies along another axis than the channels' (it may
    be one number), a divisor is zero, the constant, weight or bias may be overridden, or a folded value does
    not fit the weight's type.
    """

    roots = frozenset({"Div", "Mul", "Neg"})
    example = """
        g (float[N,1,4,4] x) => (float[N,2,4,4] y)
        <float[2,1,1,1] w = {1,3}, float[2] b = {0,1}, float[2,1,1] s = {2,10}>
        { c = Conv (x, w, b)  y = Mul (c, s) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one Mul, Div or Neg."""
        return fold_after(node)
