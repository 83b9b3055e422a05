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

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one GlobalAveragePool."""
        conv = pointwise_before(pool.inputs[0])
        if conv is None or isinstance(conv, Decline):
            return conv
        x = conv.inputs[0]
        assert x is not None
        pooled = reading(pool, x)
        return Change([conv, pool], [pooled, reading(conv, pooled.outputs[0])])
