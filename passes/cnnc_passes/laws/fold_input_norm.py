"""Conv(Transpose(s*x + t), W, b) => Conv(Transpose(x), W*s, b + sum(W*t)), or on x + t/s. Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.affine import Affine, affine_before
from cnnc_passes.forms.compose import fold_before
from cnnc_passes.forms.linear import linear_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, producer

__all__ = ["FoldInputNorm"]


class FoldInputNorm(Rewrite):
    """Fold the normalization of an image (N, H, W, C), such as (x/255 - mean)/std, into the first Conv.

    Some of it stands before the Transpose to (N, C, H, W), some may stand after; alone that is fold-scale-forward's.
    A Cast from uint8 stays where it is. Where the Conv pads, one addition stays (see fold-scale-forward).

    Declines if another node reads a normalized or transposed image, a constant varies along another axis than the
    channels' or may be overridden, the weight is not constant, or one node alone has a shift that must stay.
    """

    roots = frozenset({"Conv"})
    example = """
        g (float[N,4,4,3] x) => (float[N,1,4,4] y)
        <float[3] mean = {120,110,100}, float[3] std = {50,40,20}, float[1,3,1,1] w = {1,2,4}>
        {
            m = Sub (x, mean)
            n = Div (m, std)
            channels_first = Transpose <perm = [0, 3, 1, 2]> (n)
            y = Conv (channels_first, w)
        }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one Conv."""
        after = affine_before(conv.inputs[0])
        transpose = producer(after.x if isinstance(after, Affine) else conv.inputs[0], "Transpose")
        if transpose is None or "perm" not in transpose.attributes:
            return None
        axis = transpose.attributes["perm"].as_ints()[1]
        before = affine_before(transpose.inputs[0], axis)
        if before is None or isinstance(before, Decline):
            return before
        if not has_one_reader(transpose.outputs[0]):
            return Decline("another node reads the transposed image")
        linear = linear_of(conv)
        if linear is None or isinstance(linear, Decline):
            return linear
        affine = after.after(before) if isinstance(after, Affine) else before
        return fold_before(linear, affine, transpose, axis)
