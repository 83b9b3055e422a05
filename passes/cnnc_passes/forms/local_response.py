"""Local response normalization as it is written: x / (bias + alpha*mean(x*x))^beta, the mean over neighboring channels.

ONNX has an operator for it, LRN. PyTorch writes the channels as an axis of their own, (N, 1, C, H, W), and averages
along that with an AveragePool, which counts the zeros beyond the first and the last channel.
Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012), section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from cnnc_passes.dims import Dim
from cnnc_passes.forms.scalar import scalar_affines
from cnnc_passes.rewrite import Decline, constant, has_one_reader, op_name, producer, same_shape
from cnnc_passes.windows import node_windows

__all__ = ["LocalResponse", "local_response"]

_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


class LocalResponse(NamedTuple):
    """The normalization of `x`, (N, C, H, W) in float32, computed by `nodes`, in order.

    The mean for channel c is over the squares of the channels c - `before` to c + `after`, zero where there are none.
    """

    x: ir.Value
    before: int
    after: int
    alpha: float
    beta: float
    bias: float
    nodes: tuple[ir.Node, ...]

    @property
    def size(self) -> int:
        """How many squares the mean is over."""
        return self.before + 1 + self.after

    @property
    def channels(self) -> int:
        """How many there are."""
        assert self.x.shape is not None and isinstance(self.x.shape[1], int)
        return self.x.shape[1]


def local_response(node: ir.Node) -> LocalResponse | Decline | None:
    """The normalization that ends with `node`, an LRN or Div; None if it does something else."""
    found = _of_lrn(node) if op_name(node) == "LRN" else _of_div(node)
    if found is None:
        return None
    x, shape = found.x, found.x.shape
    if not all(has_one_reader(one.outputs[0]) for one in found.nodes[:-1]):
        return Decline("another node reads a result in between")
    if x.dtype != ir.DataType.FLOAT:
        return Decline(f"it is for float32, not {x.dtype}")
    if shape is None or len(shape) != 4:
        return Decline("it is not of maps, (N, C, H, W)")
    return found if isinstance(shape[1], int) else Decline("the number of channels is open")


def _of_lrn(lrn: ir.Node) -> LocalResponse | None:
    size, x = lrn.attributes.get_int("size", 0) or 0, lrn.inputs[0]
    if x is None or size < 1:
        return None
    alpha, beta, bias = (
        float(lrn.attributes.get_float(name, usual) or 0.0)
        for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return LocalResponse(x, (size - 1) // 2, size // 2, alpha, beta, bias, (lrn,))


def _of_div(div: ir.Node) -> LocalResponse | None:
    """Div(x, (alpha*view(AveragePool(view(x*x))) + bias)^beta), where what is 1 may be missing."""
    x, divisor = div.inputs
    power = producer(divisor, "Pow", "Sqrt")
    beta = 1.0 if power is None else _exponent(power)
    raised = divisor if power is None else power.inputs[0]
    if x is None or raised is None or beta is None or not same_shape(x, div.outputs[0]):
        return None
    affine = next((one for one in scalar_affines(raised) if producer(one.base, *_VIEWS)), None)
    back = _views(affine.base) if affine is not None else []
    pool = producer(back[-1].inputs[0], "AveragePool") if back else None
    if affine is None or pool is None or not same_shape(x, affine.base):
        return None
    apart, neighbors = _views(pool.inputs[0]), _neighbors(pool, x)
    squares = apart[-1].inputs[0].producer() if apart and apart[-1].inputs[0] is not None else None
    if squares is None or neighbors is None or not _is_square(squares, x):
        return None
    chain = [div, *([power] if power is not None else []), *affine.nodes, *back, pool, *apart, squares]
    return LocalResponse(x, *neighbors, affine.scale, beta, affine.shift, tuple(reversed(chain)))


def _views(value: ir.Value | None) -> list[ir.Node]:
    """The views that end with `value`, the last one first."""
    nodes: list[ir.Node] = []
    while (node := producer(value, *_VIEWS)) is not None:
        nodes.append(node)
        value = node.inputs[0]
    return nodes


def _neighbors(pool: ir.Node, x: ir.Value) -> tuple[int, int] | None:
    """How many channels of `x` before and after its own each average is over; None if it is over something else."""
    whole, part = pool.inputs[0].shape if pool.inputs[0] is not None else None, x.shape
    windows = node_windows(pool)
    if whole is None or part is None or windows is None or len(whole) < 4 or len(part) < 3:
        return None
    items, one, channels = whole[:3]
    if one != 1 or (items, channels) != (part[0], part[1]) or not all(map(_is_known, (items, channels))):
        return None
    before, after = windows[0].pads
    apart = all(window.kernel == 1 and not any(window.pads) for window in windows[1:])
    dense = all(window.stride == 1 and window.dilation == 1 and window.auto_pad == "NOTSET" for window in windows)
    counts_zeros = pool.attributes.get_int("count_include_pad", 0) or not before + after
    fits = before + after == windows[0].kernel - 1
    return (before, after) if apart and dense and counts_zeros and fits else None


def _is_known(size: Dim) -> bool:
    return isinstance(size, int) or size.value is not None


def _is_square(node: ir.Node, x: ir.Value) -> bool:
    if op_name(node) == "Pow":
        return node.inputs[0] is x and _exponent(node) == 2
    return op_name(node) == "Mul" and node.inputs[0] is x and node.inputs[1] is x


def _exponent(node: ir.Node) -> float | None:
    """Of a Pow or Sqrt; None where it is not one constant number."""
    if node.op_type == "Sqrt":
        return 0.5
    array = constant(node.inputs[1])
    return None if array is None or array.size != 1 else float(array.reshape(-1)[0])
