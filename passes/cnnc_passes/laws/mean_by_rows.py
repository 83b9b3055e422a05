"""GlobalAveragePool(x) => AveragePool over columns of AveragePool over rows of x. Equal up to rounding: less of it."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["MeanByRows"]

_LONG = 64  # values; the sum of fewer is exact to a few roundings anyway


class MeanByRows(Rewrite):
    """Take the mean of a large map in two steps, of each row and of their means.

    onnxruntime adds the values of a map one after the other, PyTorch in pairs: of some thousand values that cancel,
    the difference can be larger than all other rounding of the network. The error of a sum grows with the number of
    its terms. Declines if a size is open, and leaves small maps alone.
    """

    roots = frozenset({"GlobalAveragePool"})
    trades = True  # the means of the rows are written and read
    example = """
        g (float[N,1,16,16] x) => (float[N,1,1,1] y) { y = GlobalAveragePool (x) }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one GlobalAveragePool."""
        x = pool.inputs[0]
        if x is None or x.shape is None or len(x.shape) < 4:
            return None
        sizes = [size for size in x.shape[2:] if isinstance(size, int)]
        if len(sizes) < len(x.shape) - 2:
            return Decline("a size is open")
        rows = [1] * (len(sizes) - 1) + [sizes[-1]]
        columns = [*sizes[:-1], 1]
        if max(rows) * max(columns) < _LONG or max(columns) == 1 or max(rows) == 1:
            return None
        metadata = dict(pool.metadata_props)
        first = ir.node("AveragePool", [x], {"kernel_shape": rows, "strides": rows}, metadata_props=metadata)
        second = ir.node(
            "AveragePool",
            [first.outputs[0]],
            {"kernel_shape": columns, "strides": columns},
            name=pool.name,
            metadata_props=metadata,
        )
        return Change([pool], [first, second])
