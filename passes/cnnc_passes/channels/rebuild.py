"""Nodes written anew because values get other channels, fewer or more: what cutting and widening share."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.links import channel_axis
from cnnc_passes.forms.elementwise import BROADCASTING
from cnnc_passes.rewrite import Change, Decline, again, constant, new_constant

__all__ = ["Build", "Resize", "rebuild", "rebuild_link"]

Build = Callable[[ir.Node, list[ir.Value | None]], ir.Node | Decline]
"""(old node, its new inputs) -> the new node, or why there can be none."""
Resize = Callable[[np.ndarray, int, float], np.ndarray]
"""(parameter, its axis of channels, what a new channel has) -> the parameter with other channels."""


def rebuild(nodes: Sequence[ir.Node], inner: Container[ir.Value], build: Build) -> Change | Decline:
    """The change that puts a new node in the place of each of `nodes`.

    Args:
        nodes: in the graph's order.
        inner: the values that get other channels, which only `nodes` read. What else `nodes` compute keeps its readers.
        build: what makes a new node.
    """
    new: dict[ir.Value, ir.Value] = {}
    built = []
    for node in nodes:
        made = build(node, [new.get(value, value) if value is not None else None for value in node.inputs])
        if isinstance(made, Decline):
            return made
        built.append(made)
        new |= zip(node.outputs, made.outputs, strict=True)
    replace = {old: value for old, value in new.items() if old not in inner}
    return Change(nodes, built, replace) if replace else Decline("nothing reads it")


def rebuild_link(node: ir.Node, inputs: Sequence[ir.Value | None], resize: Resize | None) -> ir.Node:
    """A node that keeps channels apart (`links_of`), on `inputs` with other channels.

    Args:
        node: no Slice and no Split, which name channels.
        inputs: the computed ones; parameters are taken from `node`.
        resize: gives a parameter the channels of the result; None if the result keeps its own.
    """
    if node.op_type in ("Reshape", "Squeeze"):  # of a map to columns; Reshape's target names the old number of columns
        return ir.node("Flatten", inputs[:1], name=node.name, metadata_props=dict(node.metadata_props))
    attributes, resized = dict(node.attributes), list(inputs)
    for index, old in enumerate(node.inputs):
        array = constant(old)
        axis = None if array is None else _channel_axis(node, index, array)
        if resize is None or old is None or array is None or axis is None:
            continue
        is_variance = node.op_type == "BatchNormalization" and index == 4
        other = resize(array, axis, 1 if is_variance else 0)
        resized[index] = new_constant(node.outputs[0], old.name or "parameter", other)
        if node.op_type == "Conv" and index == 1:  # depthwise: as many filters for each input channel as before
            per_channel = len(array) // attributes["group"].as_int()
            attributes["group"] = ir.AttrInt64("group", len(other) // per_channel)
    return again(node, resized, attributes, outputs=len(node.outputs))


def _channel_axis(node: ir.Node, index: int, parameter: np.ndarray) -> int | None:
    """Along which axis of the constant that is input `index` the channels of the result are; None if along none."""
    if node.op_type in ("BatchNormalization", "InstanceNormalization", "Conv"):
        return 0 if index else None
    return channel_axis(parameter, len(node.outputs[0].shape or ())) if node.op_type in BROADCASTING else None
