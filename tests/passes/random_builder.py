"""What random CNNs are made of: a builder of ONNX nodes whose every choice hypothesis draws, and legal windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from hypothesis import strategies as st

from tests.contract.graphs import node


class Map(NamedTuple):
    """A value (N, channels, *size) of the graph that is being built."""

    name: str
    channels: int
    size: tuple[int, ...]


class Builder:
    """Collects nodes and constants. Of each choice the first option is the simplest: failures shrink to it.

    Attributes:
        rank: how many spatial axes.
        weights: names of constants that may be tied, or overridden by a caller.
        is_open: height, width, ... may be symbols: no node so far counts on the numbers.
    """

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 999)))
        self.rank: int = self.pick(2, 2, 2, 1, 3)
        self.is_open: bool = self.pick(False, False, False, True)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.weights: list[str] = []

    def pick(self, *options: Any) -> Any:
        return self._draw(st.sampled_from(options))

    def sometimes(self, one_in: int = 3) -> bool:
        return bool(self.pick(*[False] * (one_in - 1), True))

    def per_axis(self, *options: int) -> list[int]:
        """One option per spatial axis, mostly the same for all."""
        if not self.sometimes():
            return [self.pick(*options)] * self.rank
        return [self.pick(*options) for _ in range(self.rank)]

    def op(self, op: str, *inputs: str | Map | np.ndarray | None, **attributes: Any) -> str:
        """Append a node, of which arrays are constants; the name of its result."""
        return self.ops(op, *inputs, outputs=1, **attributes)[0]

    def ops(self, op: str, *inputs: str | Map | np.ndarray | None, outputs: int, **attributes: Any) -> list[str]:
        names = []
        for value in inputs:
            name = self.constant(value) if isinstance(value, np.ndarray) else value
            names.append("_" if name is None else name.name if isinstance(name, Map) else name)
        results = [f"v{len(self.nodes)}{'abc'[index] if index else ''}" for index in range(outputs)]
        self.nodes.append(node(op, " ".join(names), " ".join(results), **attributes))
        return results

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        return name

    def weight(self, *shape: int, fan_in: int = 0) -> str:
        """A weight (M, C, ...) or bias; sometimes with zeros for a filter or an input, sometimes one of before."""
        alike = [name for name in self.weights if self.constants[name].shape == shape]
        if alike and self.sometimes(4):
            return alike[0]
        array = self._rng.uniform(-1.7, 1.7, shape) / np.sqrt(fan_in or max(int(np.prod(shape[1:])), 1))
        axis = self.pick(None, None, None, None, 0, 1)
        if axis is not None and axis < len(shape):
            np.moveaxis(array, axis, 0)[self._rng.random(shape[axis]) < 0.4] = 0
        self.weights.append(self.constant(array))
        return self.weights[-1]

    def factors(self, *shape: int) -> np.ndarray:
        """Factors or shifts of either sign, sometimes with a 0 among them."""
        array = self._rng.uniform(0.3, 1.5, shape) * self._rng.choice([-1, 1], shape)
        if self.sometimes(4):
            array.reshape(-1)[0] = 0
        return np.asarray(array)

    def channelwise(self, channels: int) -> np.ndarray:
        """Factors or shifts per channel of a feature map."""
        shape = self.pick((channels,), (1, channels), ())
        return self.factors(*shape, *(1,) * self.rank) if shape else self.factors(1)

    def positive(self, *shape: int) -> np.ndarray:
        return self._rng.uniform(0.3, 2.0, shape)


def divisors(*numbers: int) -> list[int]:
    return [d for d in range(1, min(numbers) + 1) if all(number % d == 0 for number in numbers)]


def span(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1


class Window(NamedTuple):
    """One number per spatial axis for each; `size` is what is left, rounded down."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    begin: list[int]
    end: list[int]
    size: tuple[int, ...]
    is_same: bool = False

    def attributes(self, b: Builder) -> dict[str, Any]:
        """As ONNX has them; defaults are left out sometimes, and auto_pad may stand for pads that leave this size."""
        if self.is_same and set(self.dilations) == {1} and b.sometimes(6):  # dilated, the engine has no kernel for it
            b.is_open = False
            auto_pad = b.pick("SAME_UPPER", "SAME_LOWER")
            return {"kernel_shape": self.kernel, "strides": self.strides, "auto_pad": auto_pad}
        given = {"strides": self.strides, "dilations": self.dilations, "pads": [*self.begin, *self.end]}
        defaults = {"strides": {1}, "dilations": {1}, "pads": {0}}
        left_out = [name for name, value in given.items() if set(value) == defaults[name] and b.sometimes(2)]
        return {"kernel_shape": self.kernel, **{name: given[name] for name in given if name not in left_out}}


def window(
    b: Builder,
    size: Sequence[int],
    kernels: Sequence[int] = (3, 1, 1, 2),
    strides: Sequence[int] = (1, 1, 1, 2, 3),
    dilations: Sequence[int] = (1, 1, 1, 2),
    pads: Sequence[int] = (0, 0, 1, 2),
) -> Window:
    """Any window that fits: half of them keep the size, the pads of others may be asymmetric."""
    kernel, stride, dilation = b.per_axis(*kernels), b.per_axis(*strides), b.per_axis(*dilations)
    if b.pick(True, False):
        begin = [(span(k, d) - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
        end = [span(k, d) - 1 - p for k, d, p in zip(kernel, dilation, begin, strict=True)]
    else:
        begin, end = b.per_axis(*pads), b.per_axis(*pads)
    for axis, n in enumerate(size):
        widest = span(kernel[axis], dilation[axis])
        begin[axis], end[axis] = min(begin[axis], widest - 1), min(end[axis], widest - 1)
        if widest > n + begin[axis] + end[axis]:
            kernel[axis], begin[axis], end[axis] = 1, 0, 0
    room = [n + p + q - span(k, d) for n, p, q, k, d in zip(size, begin, end, kernel, dilation, strict=True)]
    return Window(kernel, stride, dilation, begin, end, tuple(r // s + 1 for r, s in zip(room, stride, strict=True)))


def same(b: Builder, size: Sequence[int], kernel: int, stride: int = 1, dilation: int = 1) -> Window:
    """A window of odd kernel that keeps the size, but for the stride."""
    pads = [kernel // 2 * dilation] * b.rank
    left = tuple((n - 1) // stride + 1 for n in size)
    return Window([kernel] * b.rank, [stride] * b.rank, [dilation] * b.rank, pads, pads, left, is_same=True)


def conv(b: Builder, x: Map, out: int = 0, at: Window | None = None, groups: int = 0, bias: bool | None = None) -> Map:
    """A Conv; what is not given is drawn."""
    out = out or b.pick(x.channels, 4, 6, 3, 2 * x.channels)
    at = at or window(b, x.size)
    groups = groups or b.pick(1, 1, 1, *divisors(x.channels, out))
    if groups == 1 and out == x.channels and b.sometimes(5):
        groups = out  # depthwise
    inputs = [b.weight(out, x.channels // groups, *at.kernel)]
    if b.pick(False, True) if bias is None else bias:
        inputs.append(b.weight(out))
    return Map(b.op("Conv", x, *inputs, group=groups, **at.attributes(b)), out, at.size)


def pointwise(b: Builder, x: Map, out: int = 0, stride: int = 1) -> Map:
    return conv(b, x, out, same(b, x.size, 1, stride), groups=1)


def pooling(b: Builder, x: Map, op: str = "") -> Map:
    """MaxPool or AveragePool; with ceil_mode where no window starts in the padding at the end.

    Such a window is none to PyTorch, to the engine's kernels and to onnx from opset 22 on, but the shape inference
    of the engine counts it, and then refuses what follows.
    """
    op = op or b.pick("MaxPool", "AveragePool")
    at = window(b, x.size, (2, 3), (2, 1, 2, 3), (1, 1, 1, 1, 2) if op == "MaxPool" else (1,), (0, 1))
    size, more = list(at.size), at.attributes(b)
    axes = zip(x.size, at.begin, at.end, at.kernel, at.dilations, at.strides, strict=True)
    rounded_up = [-(-(n + p + q - span(k, d)) // s) + 1 for n, p, q, k, d, s in axes]
    last = [(m - 1) * s < n + p for m, s, n, p in zip(rounded_up, at.strides, x.size, at.begin, strict=True)]
    if all(last) and b.sometimes(2):
        more["ceil_mode"], size = 1, rounded_up
    if op == "AveragePool":
        more |= {"count_include_pad": b.pick(0, 1)}
        more.pop("dilations", None)
    return Map(b.op(op, x, **more), x.channels, tuple(size))


def batchnorm(b: Builder, x: Map) -> Map:
    c = x.channels
    statistics = (b.factors(c), b.factors(c), b.factors(c), b.positive(c))
    return x._replace(name=b.op("BatchNormalization", x, *statistics, epsilon=b.pick(1e-5, 1e-3)))


def affine(b: Builder, x: Map) -> Map:
    """One map per channel."""
    op = b.pick("BatchNormalization", "Mul", "Add", "Sub", "Div", "Neg")
    if op == "BatchNormalization":
        return batchnorm(b, x)
    if op == "Neg":
        return x._replace(name=b.op("Neg", x))
    k = b.positive(x.channels, *(1,) * b.rank) if op == "Div" else b.channelwise(x.channels)
    swapped = op != "Div" and b.sometimes()
    return x._replace(name=b.op(op, *((k, x) if swapped else (x, k))))


def activation(b: Builder, x: Map) -> Map:
    kinds = ("Relu", "Relu", "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSwish", "Elu", "PRelu", "Softplus")
    op = b.pick(*kinds, "Silu", "hard-swish", "gelu")
    if op in ("Silu", "hard-swish", "gelu"):
        return x._replace(name=_spelled(b, x, op))
    more: list[np.ndarray] = []
    if op == "Clip":
        more = [np.array(b.pick(0.0, -1.0)), np.array(6.0)]
    elif op == "PRelu":
        more = [np.abs(b.factors(x.channels, *(1,) * b.rank))]
    return x._replace(name=b.op(op, x, *more))


def _spelled(b: Builder, x: Map, op: str) -> str:
    """An activation of several nodes."""
    if op == "Silu":
        return b.op("Mul", x, b.op("Sigmoid", x))
    if op == "gelu":
        error = b.op("Erf", b.op("Div", x, np.array(math.sqrt(2))))
        return b.op("Mul", b.op("Mul", x, b.op("Add", error, np.array(1.0))), np.array(0.5))
    gate = b.op("Clip", b.op("Add", x, np.array(3.0)), np.array(0.0), np.array(6.0))
    return b.op("Div", b.op("Mul", x, gate), np.array(6.0))
