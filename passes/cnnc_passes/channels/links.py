"""Which channels of a node's inputs are which channels of its outputs, where the node keeps channels apart.

A channel is an index on axis 1: a feature map of a convolution, or a column after Flatten.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.elementwise import BROADCASTING, UNARY, element_inputs
from cnnc_passes.rewrite import constant, op_name
from cnnc_passes.windows import groups

__all__ = ["Link", "channel_axis", "channel_count", "channel_range", "is_depthwise", "links_of"]

_PER_CHANNEL = UNARY | {"AveragePool", "BatchNormalization", "Cast", "GlobalAveragePool", "GlobalMaxPool"}
_PER_CHANNEL |= {"InstanceNormalization", "LpPool", "MaxPool", "Pad", "Resize"}


class Link(NamedTuple):
    """Channel `sources[i]` of `source` makes channel `targets[i]` of `target`, and no other."""

    node: ir.Node
    source: ir.Value
    target: ir.Value
    sources: np.ndarray
    targets: np.ndarray


def channel_count(value: ir.Value) -> int | None:
    """The size of axis 1, if it is known."""
    size = value.shape[1] if value.shape is not None and len(value.shape) > 1 else None
    return size if isinstance(size, int) else None


def channel_axis(parameter: np.ndarray, rank: int) -> int | None:
    """Which axis of a constant lines up with axis 1 of a value of `rank`; None if it has no axis there, or size 1."""
    axis = 1 - (rank - parameter.ndim)
    return axis if axis >= 0 and parameter.shape[axis] > 1 else None


def links_of(node: ir.Node) -> list[Link] | None:
    """The links from each computed input that has channels, to each output; None if channels mix or are lost."""
    channels = channel_count(node.outputs[0])
    if channels is None:
        return None
    op = op_name(node)
    if op in BROADCASTING:
        return _broadcasting(node, channels)
    rule = _RULES.get(op)
    if rule is not None:
        return rule(node, channels)
    if op not in _PER_CHANNEL or any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return None
    x, y = node.inputs[0], node.outputs[0]
    unsound = _UNLESS.get(op)
    if x is None or channel_count(x) != channels or (unsound is not None and not unsound(node)):
        return None
    return [_same(node, x, y, channels)]


def is_depthwise(conv: ir.Node) -> bool:
    """True for a Conv with one group per input channel (and more than one)."""
    x = conv.inputs[0]
    return conv.op_type == "Conv" and x is not None and 1 < groups(conv) == channel_count(x)


def channel_range(node: ir.Node) -> tuple[int, int, int] | None:
    """(first, last + 1, place among the sliced axes) that a Slice takes of axis 1; place -1 if it takes all.

    Returns:
        None if its limits are not constant, or it steps over channels.
    """
    x = node.inputs[0]
    if x is None or x.shape is None or len(node.inputs) < 3:
        return None
    channels, given = channel_count(x), [constant(value) for value in node.inputs[1:]]
    if channels is None or any(v is not None and a is None for v, a in zip(node.inputs[1:], given, strict=True)):
        return None
    starts, ends, axes, steps = [*given, None, None][:4]
    assert starts is not None and ends is not None
    sliced = [int(axis) % len(x.shape) for axis in (np.arange(starts.size) if axes is None else axes)]
    if 1 not in sliced:
        return 0, channels, -1
    place = sliced.index(1)
    if steps is not None and steps[place] != 1:
        return None
    first, last, _ = slice(int(starts[place]), int(ends[place])).indices(channels)
    return first, last, place


def _same(node: ir.Node, x: ir.Value, y: ir.Value, channels: int) -> Link:
    every = np.arange(channels)
    return Link(node, x, y, every, every)


def _broadcasting(node: ir.Node, channels: int) -> list[Link] | None:
    y = node.outputs[0]
    links = []
    for value in (element_inputs(node) or {}).values():
        if constant(value) is not None:
            continue
        if value.shape is None or y.shape is None:
            return None
        aligned = 1 - (len(y.shape) - len(value.shape))
        if aligned < 0 or value.shape[aligned] == 1:
            continue  # one value for every channel
        if len(value.shape) != len(y.shape) or channel_count(value) != channels:
            return None
        links.append(_same(node, value, y, channels))
    return links


def _concat(node: ir.Node, channels: int) -> list[Link] | None:
    y = node.outputs[0]
    rank = len(y.shape or ())
    inputs = [value for value in node.inputs if value is not None]
    sizes = [channel_count(value) for value in inputs]
    if node.attributes.get_int("axis", 1) not in (1, 1 - rank):
        return [_same(node, value, y, channels) for value in inputs] if set(sizes) == {channels} else None
    links, offset = [], 0
    for value, size in zip(inputs, sizes, strict=True):
        if size is None:
            return None
        every_channel = np.arange(size)
        links.append(Link(node, value, y, every_channel, offset + every_channel))
        offset += size
    return links


def _flatten(node: ir.Node, features: int) -> list[Link] | None:
    """(N, C, *spatial) -> (N, C*positions), channel by channel: Flatten, and a Reshape or Squeeze that is one."""
    x, y = node.inputs[0], node.outputs[0]
    channels = channel_count(x) if x is not None else None
    if x is None or x.shape is None or channels is None or len(y.shape or ()) != 2:
        return None
    spatial = [size for size in x.shape[2:] if isinstance(size, int)]
    if len(spatial) != len(x.shape) - 2 or channels * math.prod(spatial) != features:
        return None
    columns = np.arange(features)
    return [Link(node, x, y, columns // math.prod(spatial), columns)]


def _slice(node: ir.Node, channels: int) -> list[Link] | None:
    cut, x = channel_range(node), node.inputs[0]
    if cut is None or x is None:
        return None
    return [Link(node, x, node.outputs[0], np.arange(cut[0], cut[1]), np.arange(channels))]


def _split(node: ir.Node, _: int) -> list[Link] | None:
    x = node.inputs[0]
    sizes = [channel_count(output) for output in node.outputs]
    if x is None or x.shape is None or node.attributes.get_int("axis", 0) not in (1, 1 - len(x.shape)):
        return None
    links, offset = [], 0
    for output, size in zip(node.outputs, sizes, strict=True):
        if size is None:
            return None
        links.append(Link(node, x, output, np.arange(offset, offset + size), np.arange(size)))
        offset += size
    return links if offset == channel_count(x) else None


def _depthwise(conv: ir.Node, channels: int) -> list[Link] | None:
    x = conv.inputs[0]
    parameters = [value for value in conv.inputs[1:] if value is not None]
    if x is None or not is_depthwise(conv) or any(constant(value) is None for value in parameters):
        return None
    outputs = np.arange(channels)
    return [Link(conv, x, conv.outputs[0], outputs // (channels // groups(conv)), outputs)]


def _has_constant_parameters(node: ir.Node) -> bool:
    every = all(constant(value) is not None for value in node.inputs[1:])
    return every and (node.op_type != "BatchNormalization" or element_inputs(node) is not None)


def _pads_space_only(pad: ir.Node) -> bool:
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        return False
    pads = constant(pad.inputs[1]) if len(pad.inputs) > 1 else np.asarray(pad.attributes["pads"].as_ints())
    return pads is not None and not np.any(pads.reshape(2, -1)[:, :2])


def _resizes_space_only(resize: ir.Node) -> bool:
    scales = constant(resize.inputs[2]) if len(resize.inputs) > 2 else None
    return scales is not None and scales.size > 2 and bool(np.all(scales[:2] == 1)) and "axes" not in resize.attributes


_RULES: dict[str, Callable[[ir.Node, int], list[Link] | None]] = {
    "Concat": _concat,
    "Conv": _depthwise,
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _flatten,
}
_UNLESS: dict[str, Callable[[ir.Node], bool]] = {
    "BatchNormalization": _has_constant_parameters,
    "InstanceNormalization": _has_constant_parameters,
    "Pad": _pads_space_only,
    "Resize": _resizes_space_only,
}
