"""BatchNorm(Conv(x, W, b)) => Conv(x, W*s, (b - mean)*s + beta), s = gamma / sqrt(var + eps). Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.compose import fold_after
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["FoldBatchNorm"]


class FoldBatchNorm(Rewrite):
    """Fold an inference BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul (and Add) before it.

    At rank 2 a MatMul, with the Add of its bias or without, becomes a Gemm. Weights that another node reads too
    are copied.

    Declines if another node reads the convolution, a parameter is not constant, training_mode is
    set, the statistics are per position (spatial=0, before opset 9), a variance is negative, a Gemm's
    bias is not per output, or a folded value does not fit the weight's type.
    """

    roots = frozenset({"BatchNormalization"})
    example = """
        g (float[N,1,4,4] x) => (float[N,2,4,4] y)
        <float[2,1,1,1] w = {1,3},
         float[2] gamma = {2,4}, float[2] beta = {0,1}, float[2] mean = {1,2}, float[2] var = {1,4}>
        { c = Conv (x, w)  y = BatchNormalization <epsilon = 0.0> (c, gamma, beta, mean, var) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one BatchNormalization."""
        return fold_after(node)
