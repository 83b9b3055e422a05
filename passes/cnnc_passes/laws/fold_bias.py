"""Conv(x, W, b) + t => Conv(x, W, b + t); t - Conv(x, W, b) => Conv(x, -W, t - b). Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.compose import fold_after
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["FoldBias"]


class FoldBias(Rewrite):
    """Fold an Add or Sub of a constant into the Conv, ConvTranspose, Gemm or MatMul before it.

    Declines if another node reads the convolution, the constant varies along another axis than the channels' (it may
    be one number), the constant, weight or bias may be overridden, or a folded value does not fit the
    weight's type.
    """

    roots = frozenset({"Add", "Sub"})
    example = """
        g (float[N,1,4,4] x) => (float[N,2,4,4] y)
        <float[2,1,1,1] w = {1,3}, float[2] b = {0,1}, float[2,1,1] t = {2,10}>
        { c = Conv (x, w, b)  y = Add (c, t) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one Add or Sub."""
        return fold_after(node)
