"""AveragePool(x), global or not => AveragePool over columns of AveragePool over rows of x. Equal up to rounding."""

from __future__ import annotations

import math

import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite
from cnnc_passes.shapes import Window
from cnnc_passes.windows import node_windows

__all__ = ["MeanByRows"]

_LONG = 64  # values; the sum of fewer is exact to a few roundings anyway


class MeanByRows(Rewrite):
    """Take the mean of a large map, or window, in two steps, of each row and of their means.

    onnxruntime adds the values of a map one after the other, PyTorch in pairs: of some thousand values that cancel,
    the difference can be larger than all other rounding of the network. The error of a sum grows with the number of
    its terms. Declines if a size is open or windows are padded or dilated, and leaves small ones alone.
    """

    roots = frozenset({"GlobalAveragePool", "AveragePool"})
    trades = True  # the means of the rows are written and read
    example = """
        g (float[N,1,16,16] x) => (float[N,1,1,1] y) { y = GlobalAveragePool (x) }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one pooling."""
        x = pool.inputs[0]
        if x is None or x.shape is None or len(x.shape) < 4:
            return None
        if pool.op_type == "AveragePool":
            windows = node_windows(pool) or []
            sizes, strides = [window.kernel for window in windows], [window.stride for window in windows]
        else:
            sizes = strides = [size for size in x.shape[2:] if isinstance(size, int)]
            if len(sizes) < len(x.shape) - 2:
                return Decline("a size is open")
        row, column = sizes[-1:], sizes[:-1]
        if math.prod(sizes) < _LONG or max(column) == 1 or row == [1]:
            return None
        if pool.op_type == "AveragePool" and not _is_plain(pool, windows):
            return Decline("the windows are padded, or have holes")
        metadata, ones = dict(pool.metadata_props), [1] * len(column)
        rows = {"kernel_shape": [*ones, *row], "strides": [*ones, *strides[-1:]]}
        columns = {"kernel_shape": [*column, 1], "strides": [*strides[:-1], 1]}
        first = ir.node("AveragePool", [x], rows, metadata_props=metadata)
        second = ir.node("AveragePool", [first.outputs[0]], columns, name=pool.name, metadata_props=metadata)
        return Change([pool], [first, second])


def _is_plain(pool: ir.Node, windows: list[Window]) -> bool:
    """Whether every window lies in the map, and takes all of its values."""
    if pool.attributes.get_int("ceil_mode", 0):
        return False
    return all(one.auto_pad in ("NOTSET", "VALID") and not any(one.pads) and one.dilation == 1 for one in windows)
