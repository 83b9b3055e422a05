"""GlobalAveragePool(Conv1x1(x)) => Conv1x1(GlobalAveragePool(x)). Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.pointwise import pointwise_before
from cnnc_passes.rewrite import Change, Decline, Rewrite, reading

__all__ = ["GapBeforePointwise"]


class GapBeforePointwise(Rewrite):
    """Convolve the pooled vector instead of every position of the map.

    Declines if another node reads the convolution, or it has a stride or padding.
    """

    roots = frozenset({"GlobalAveragePool"})
    example = """
        g (float[N,2,4,4] x) => (float[N,1,1,1] y) <float[1,2,1,1] w = {1,3}, float[1] b = {5}>
        { c = Conv (x, w, b)  y = GlobalAveragePool (c) }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one GlobalAveragePool."""
        conv = pointwise_before(pool.inputs[0])
        if conv is None or isinstance(conv, Decline):
            return conv
        x = conv.inputs[0]
        assert x is not None
        pooled = reading(pool, x)
        return Change([conv, pool], [pooled, reading(conv, pooled.outputs[0])])
