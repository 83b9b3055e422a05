"""A group of values with more channels: made by filters of zeros, and read through weights of zero."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.cuts import input_axis, output_axis
from cnnc_passes.channels.group import ChannelGroup
from cnnc_passes.channels.links import channel_axis
from cnnc_passes.forms.elementwise import BROADCASTING, UNARY
from cnnc_passes.forms.linear import Linear
from cnnc_passes.rewrite import Change, Decline, constant, new_constant, op_name

__all__ = ["narrow_reason", "widened"]

# What makes a finite number of each channel that is added, so that a weight of zero takes it away again. A Div or a
# Reciprocal would divide by zero there.
_STAY_FINITE = (UNARY - {"Exp", "Log", "Reciprocal", "Sqrt"}) | {"AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
_STAY_FINITE |= {"Add", "BatchNormalization", "Conv", "Flatten", "Max", "MaxPool", "Min", "Mul", "PRelu", "Pad"}
_STAY_FINITE |= {"Reshape", "Squeeze", "Sub", "Sum"}
_COLUMNS = frozenset({"Reshape", "Squeeze"})


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
    old_nodes = [node for node in nodes if node in touched]
    new: dict[ir.Value, ir.Value] = {}
    built = []
    for node in old_nodes:
        inputs = [new.get(value, value) if value is not None else None for value in node.inputs]
        if node in linears and inputs[0] is not None:
            more = (extra if node in readers else 0, extra if node in group.makers else 0)
            made = _widen_linear(linears[node], inputs[0], *more)
        else:
            made = _widen_link(node, inputs, extra)
        if isinstance(made, Decline):
            return made
        built.append(made)
        new |= zip(node.outputs, made.outputs, strict=True)
    replace = {old: value for old, value in new.items() if old not in group.channels}
    return Change(old_nodes, built, replace) if replace else Decline("nothing reads it")


def _widen_linear(linear: Linear, x: ir.Value, inputs: int, outputs: int) -> ir.Node | Decline:
    """The operator on `x`, with so many more inputs and outputs, all of zeros."""
    weight = _more(linear.weight, inputs, input_axis(linear))
    weight = _more(weight, outputs, output_axis(linear))
    has_changed_bias = outputs or linear.nodes[0].op_type == "MatMul"
    bias = _more(linear.bias, outputs, 0) if has_changed_bias else None
    on_x = dataclasses.replace(linear, inputs=(x, *linear.inputs[1:]))
    return on_x.with_constants(linear.nodes[-1].outputs[0], weight, bias)


def _widen_link(node: ir.Node, inputs: list[ir.Value | None], extra: int) -> ir.Node:
    """A node that keeps channels apart, on `inputs` that have more of them."""
    op, attributes = node.op_type, dict(node.attributes)
    if op in _COLUMNS:  # of one pixel: Reshape's target names the old number of columns
        op, inputs, attributes = "Flatten", inputs[:1], {}
    elif op == "Conv":  # depthwise
        inputs = [inputs[0], *(_more_of(node, value, extra, 0) for value in node.inputs[1:])]
        attributes["group"] = ir.AttrInt64("group", attributes["group"].as_int() + extra)
    elif op == "BatchNormalization":
        scale, bias, mean = (_more_of(node, value, extra, 0) for value in node.inputs[1:4])
        inputs = [inputs[0], scale, bias, mean, _more_of(node, node.inputs[4], extra, 0, filled=1)]
    else:
        rank = len(node.outputs[0].shape or ())
        inputs = [_more_of_operand(node, value, extra, rank) for value in inputs]
    return ir.node(
        op,
        inputs,
        attributes,
        num_outputs=len(node.outputs),
        name=node.name,
        metadata_props=dict(node.metadata_props),
    )


def _more_of_operand(node: ir.Node, value: ir.Value | None, extra: int, rank: int) -> ir.Value | None:
    """What is added, multiplied or compared: a constant with one number a channel gets zeros, all else stays."""
    array = constant(value)
    axis = channel_axis(array, rank) if array is not None and op_name(node) in BROADCASTING else None
    return value if axis is None else _more_of(node, value, extra, axis)


def _more_of(node: ir.Node, value: ir.Value | None, extra: int, axis: int, filled: float = 0) -> ir.Value | None:
    """A parameter with more along `axis`; None where there is none."""
    array = constant(value)
    if array is None or value is None:
        return value
    return new_constant(node.outputs[0], value.name or "parameter", _more(array, extra, axis, filled))


def _more(array: np.ndarray, extra: int, axis: int, filled: float = 0) -> np.ndarray:
    widths = [(0, extra if axis == place else 0) for place in range(array.ndim)]
    return np.pad(array, widths, constant_values=filled)
