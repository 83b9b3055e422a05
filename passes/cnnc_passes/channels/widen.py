"""A group of values with more channels: made by filters of zeros, and read through weights of zero."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.cuts import input_axis, output_axis
from cnnc_passes.channels.group import ChannelGroup
from cnnc_passes.channels.rebuild import rebuild, rebuild_link
from cnnc_passes.forms.elementwise import UNARY
from cnnc_passes.forms.linear import Linear
from cnnc_passes.rewrite import Change, Decline, op_name

__all__ = ["narrow_reason", "padded", "widened"]

# What makes a finite number of each channel that is added, so that a weight of zero takes it away again. A Div or a
# Reciprocal would divide by zero there.
_STAY_FINITE = (UNARY - {"Exp", "Log", "Reciprocal", "Sqrt"}) | {"AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
_STAY_FINITE |= {"Add", "BatchNormalization", "Conv", "Flatten", "Max", "MaxPool", "Min", "Mul", "PRelu", "Pad"}
_STAY_FINITE |= {"Reshape", "Squeeze", "Sub", "Sum"}


def narrow_reason(group: ChannelGroup) -> str | None:
    """Why `group` cannot have more channels; None where it can."""
    if group.pins:
        return group.pins[0].reason
    for link in group.links:
        if op_name(link.node) not in _STAY_FINITE:
            return f"{op_name(link.node)} {link.node.name!r} takes no more channels"
        if not np.array_equal(link.sources, link.targets) or len(set(group.channels.values())) != 1:
            return f"{op_name(link.node)} {link.node.name!r} changes the number of channels"
    return None


def widened(group: ChannelGroup, nodes: Iterable[ir.Node], extra: int) -> Change | Decline:
    """The change that gives every value of `group` `extra` more channels, last of all.

    Args:
        group: one without a `narrow_reason`.
        nodes: of the graph, in order.
        extra: how many.
    """
    readers = {linear.nodes[0]: linear for linear, _ in group.readers}
    linears = {**group.makers, **readers}
    touched = {link.node for link in group.links} | set(linears)

    def widen(node: ir.Node, inputs: list[ir.Value | None]) -> ir.Node | Decline:
        if node in linears and inputs[0] is not None:
            more = (extra if node in readers else 0, extra if node in group.makers else 0)
            return _widen_linear(linears[node], inputs[0], *more)
        return rebuild_link(node, inputs, lambda array, axis, fill: padded(array, extra, axis, fill))

    return rebuild([node for node in nodes if node in touched], group.channels, widen)


def _widen_linear(linear: Linear, x: ir.Value, inputs: int, outputs: int) -> ir.Node | Decline:
    """The operator on `x`, with so many more inputs and outputs, all of zeros."""
    weight = padded(linear.weight, inputs, input_axis(linear))
    weight = padded(weight, outputs, output_axis(linear))
    has_changed_bias = outputs or linear.nodes[0].op_type == "MatMul"
    bias = padded(linear.bias, outputs, 0) if has_changed_bias else None
    on_x = dataclasses.replace(linear, inputs=(x, *linear.inputs[1:]))
    return on_x.with_constants(linear.nodes[-1].outputs[0], weight, bias)


def padded(parameter: np.ndarray, extra: int, axis: int, fill: float = 0) -> np.ndarray:
    """`parameter` with `extra` more along `axis`, last of all."""
    widths = [(0, extra if axis == place else 0) for place in range(parameter.ndim)]
    return np.pad(parameter, widths, constant_values=fill)
