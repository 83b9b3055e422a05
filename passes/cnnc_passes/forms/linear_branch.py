"""Node -> the convolution that it is: Conv, AveragePool, a map per channel (BatchNormalization, Mul, ...), x itself."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import dims_of
from cnnc_passes.forms.affine import AFFINE, Affine, affine_of
from cnnc_passes.rewrite import Decline, constant, producer
from cnnc_passes.shapes import Window, explicit_pads
from cnnc_passes.windows import groups, node_windows
from cnnc_runtime.errors import InvalidInputError

__all__ = ["Branch", "Frame", "branch_of", "identity_branch", "source_of"]

_LINEAR = ("Conv", "AveragePool", *(AFFINE - {"Add"}))  # an Add is part of the sum


class Frame(NamedTuple):
    """Where a convolution's taps lie: one window per spatial axis, with explicit pads, and its groups."""

    windows: tuple[Window, ...]
    groups: int


@dataclasses.dataclass(frozen=True, eq=False)
class Branch:
    """A value, seen as a convolution of `source`.

    Attributes:
        source: what is convolved, (N, C, *spatial).
        node: computes the value; None where the value is `source` itself.
        weight: (M, C/groups, *kernel).
        bias: (M,), float64.
        frame: windows and groups.
    """

    source: ir.Value
    node: ir.Node | None
    weight: np.ndarray
    bias: np.ndarray
    frame: Frame

    @property
    def value(self) -> ir.Value:
        """What the branch computes."""
        return self.source if self.node is None else self.node.outputs[0]

    @property
    def inputs(self) -> int:
        """Channels of the source."""
        return int(self.weight.shape[1]) * self.frame.groups

    @property
    def outputs(self) -> int:
        """Channels of the value."""
        return int(self.weight.shape[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates at each output position; only a Conv has any."""
        return self.weight.size if self.node is not None and self.node.op_type == "Conv" else 0


def source_of(value: ir.Value) -> ir.Value | None:
    """The value that one possibly linear node makes `value` from; weights are not read."""
    node = producer(value, *_LINEAR)
    if node is None:
        return None
    computed = [source for source in node.inputs if source is not None and source.const_value is None]
    return computed[0] if len(computed) == 1 else None


def branch_of(value: ir.Value) -> Branch | Decline:
    """`value` as a convolution of `source_of(value)`, whose rank and channels are known."""
    node, source = value.producer(), source_of(value)
    assert node is not None and source is not None
    if node.op_type in ("Conv", "AveragePool"):
        return _windowed(node, source)
    affine = affine_of(node)
    if not isinstance(affine, Affine):
        return affine or Decline(f"{node.op_type}: not an affine map of {source.name!r}")
    return _pointwise(source, node, affine.scale, affine.shift)


def identity_branch(x: ir.Value) -> Branch:
    """The value itself: a depthwise 1x1 kernel of ones."""
    channels = _channels(x)
    return _pointwise(x, None, np.ones(channels), np.zeros(channels))


def _windowed(node: ir.Node, source: ir.Value) -> Branch | Decline:
    windows = node_windows(node)
    assert windows is not None and source.shape is not None
    try:
        pads = [explicit_pads(size, window) for size, window in zip(dims_of(source.shape)[2:], windows, strict=True)]
    except InvalidInputError:
        return Decline(f"the padding of a {node.op_type} varies with an open size")
    placed = tuple(w._replace(pads=p, auto_pad="NOTSET") for w, p in zip(windows, pads, strict=True))
    if node.op_type == "AveragePool":
        if node.attributes.get_int("ceil_mode", 0):
            return Decline("ceil_mode of an AveragePool is set")
        if any(map(any, pads)) and not node.attributes.get_int("count_include_pad", 0):
            return Decline("an AveragePool does not count its padding")
        channels, kernel = _channels(source), [window.kernel for window in windows]
        weight = np.full((channels, 1, *kernel), 1 / math.prod(kernel))
        return Branch(source, node, weight, np.zeros(channels), Frame(placed, channels))
    given = node.inputs[2] if len(node.inputs) > 2 else None
    kernel_weight, bias = constant(node.inputs[1]), constant(given)
    if kernel_weight is None or (given is not None and bias is None):
        return Decline("a weight or bias is not constant")
    wide = np.zeros(len(kernel_weight)) if bias is None else bias.astype(np.float64)
    return Branch(source, node, kernel_weight, wide, Frame(placed, groups(node)))


def _pointwise(x: ir.Value, node: ir.Node | None, scale: np.ndarray, shift: np.ndarray) -> Branch:
    """A scale and a shift per channel: a depthwise 1x1 kernel."""
    assert x.shape is not None
    rank = len(x.shape) - 2
    return Branch(x, node, scale.reshape(-1, 1, *(1,) * rank), shift, Frame((Window(kernel=1),) * rank, len(scale)))


def _channels(x: ir.Value) -> int:
    assert x.shape is not None
    channels = x.shape[1]
    assert isinstance(channels, int)
    return channels
