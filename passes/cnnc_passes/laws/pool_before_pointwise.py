"""AveragePool(Conv1x1(x)) => Conv1x1(AveragePool(x)). Equal up to rounding.

W*mean(x) + b = mean(W*x + b), where the weights of the mean sum to one; without b, whatever they are.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.pointwise import pointwise_before
from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, reading
from cnnc_passes.windows import node_windows

__all__ = ["PoolBeforePointwise"]


class PoolBeforePointwise(Rewrite):
    """Convolve what is left after pooling: 1/stride^2 of the positions (the transitions of a DenseNet).

    Declines if another node reads the convolution, it has a stride or padding, or it has a bias and the pooling
    counts padding (or, with ceil_mode, what lies beyond the end).
    """

    roots = frozenset({"AveragePool"})
    example = """
        g (float[N,2,4,4] x) => (float[N,1,2,2] y) <float[1,2,1,1] w = {1,3}, float[1] b = {5}>
        { c = Conv (x, w, b)  y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (c) }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one AveragePool."""
        conv = pointwise_before(pool.inputs[0])
        if conv is None or isinstance(conv, Decline):
            return conv
        if _has_bias(conv) and not _sums_to_one(pool):
            return Decline("the pooling counts padding, which has no bias")
        x = conv.inputs[0]
        assert x is not None
        pooled = reading(pool, x)
        return Change([conv, pool], [pooled, reading(conv, pooled.outputs[0])])


def _has_bias(conv: ir.Node) -> bool:
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    if bias is None:
        return False
    array = constant(bias)
    return array is None or bool(np.any(array))


def _sums_to_one(pool: ir.Node) -> bool:
    """True if each output is a mean of input elements alone."""
    if not pool.attributes.get_int("count_include_pad", 0):
        return True
    windows = node_windows(pool) or []
    return all(w.auto_pad in ("NOTSET", "VALID") and not any(w.pads) and not w.ceil_mode for w in windows)
