"""LRN(x), or spelled out => x / Conv1x1(x*x, W, k)^beta, alpha/n in the band of W. Equal up to rounding.

LRN(x) = x / (alpha/n * (sum of n neighboring channels' squares) + k)^beta. y^0.75 = sqrt(y)*sqrt(sqrt(y)). W has zeros
outside its band: where a square overflows (x beyond 1e19), infinity times zero is no number.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.local_response import LocalResponse, local_response
from cnnc_passes.rewrite import Change, Decline, Rewrite, new_constant

__all__ = ["LrnToConv"]

_MOST_CHANNELS = 512  # a MAC for each and value: measured, see docs/lowering.md


class LrnToConv(Rewrite):
    """Sum the squares of neighboring channels by a 1x1 convolution (AlexNet, and the nets of its time).

    Exported, it is an AveragePool of (N, 1, C, H, W) and a power. The CPU provider pools one channel of that in one
    thread, outside its blocked layout, and so does its LRN, which also loses digits: it adds each square once and
    subtracts it again. The convolution has k for a bias, and a power of 0.75 or 0.5 is taken by square roots.

    Declines if another node reads a result in between, it is not of maps in float32, or the channels are open, or
    more than 512.
    """

    roots = frozenset({"Div", "LRN"})
    trades = True  # products with zeros
    example = """
        g (float[N,3,2,2] x) => (float[N,3,2,2] y) { y = LRN <size = 3, alpha = 0.1> (x) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one LRN, or the Div at the end of one that is spelled out."""
        found = local_response(node)
        if not isinstance(found, LocalResponse):
            return found
        if found.channels > _MOST_CHANNELS:
            return Decline(f"{found.channels} channels are too many to multiply by zeros")
        y, bias = node.outputs[0], np.full(found.channels, found.bias, np.float32)
        operands = [new_constant(y, "weight", _band(found)), new_constant(y, "bias", bias)]
        squares = ir.node("Mul", [found.x, found.x])
        conv = ir.node("Conv", [squares.outputs[0], *operands], {"kernel_shape": [1, 1]})
        return Change(found.nodes, [squares, conv, *_divided(found.x, conv.outputs[0], found.beta, y)])


def _band(found: LocalResponse) -> np.ndarray:
    """(channels, channels, 1, 1), alpha/n where the column is near the row."""
    row, column = np.ogrid[: found.channels, : found.channels]
    near = (column >= row - found.before) & (column <= row + found.after)
    return np.where(near, found.alpha / found.size, 0.0).astype(np.float32)[:, :, np.newaxis, np.newaxis]


def _divided(x: ir.Value, by: ir.Value, beta: float, y: ir.Value) -> list[ir.Node]:
    """The nodes of x / by^beta, which serve `y`: by square roots where these are enough."""
    if beta == 1:
        return [ir.node("Div", [x, by])]
    if beta not in (0.5, 0.75):
        exponent = new_constant(y, "exponent", np.array(beta, np.float32))
        power = ir.node("Pow", [by, exponent])
        return [power, ir.node("Div", [x, power.outputs[0]])]
    root = ir.node("Sqrt", [by])
    quotient = ir.node("Div", [x, root.outputs[0]])
    if beta == 0.5:
        return [root, quotient]
    fourth = ir.node("Sqrt", [root.outputs[0]])
    return [root, quotient, fourth, ir.node("Div", [quotient.outputs[0], fourth.outputs[0]])]
