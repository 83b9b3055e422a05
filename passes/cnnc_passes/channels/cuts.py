"""A node without some of its channels: the same operator on fewer, its parameters cut to match."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.links import channel_count, channel_range
from cnnc_passes.channels.rebuild import rebuild_link
from cnnc_passes.forms.linear import Linear
from cnnc_passes.rewrite import Decline, again, constant, new_constant

__all__ = ["Kept", "cut_linear", "cut_link", "input_axis", "output_axis"]

Kept = Mapping[ir.Value, np.ndarray]
"""Value -> which of its channels stay; a value that is not there keeps all."""
_SPLIT_BY_INPUT = 13  # the opset in which Split's sizes became an input


def input_axis(linear: Linear) -> int:
    """The axis of the weight (of one group) along its inputs."""
    return 1 - output_axis(linear)


def output_axis(linear: Linear) -> int:
    """The axis of the weight (of one group) along its outputs."""
    return 0 if linear.op == "Conv" or linear.transposed else 1


def cut_linear(linear: Linear, absorbed: Linear, x: ir.Value, kept: Kept) -> ir.Node | Decline:
    """A linear operator of one group, on `x`, without the channels that are gone from its input and its output.

    Args:
        linear: the operator as it is.
        absorbed: with what the removed inputs contributed in its weight or bias.
        x: its new input.
        kept: what stays of the old values.
    """
    output = linear.nodes[-1].outputs[0]
    weight, bias = absorbed.weight, absorbed.bias
    inputs, outputs = kept.get(linear.inputs[0]), kept.get(output)
    if inputs is not None:
        weight = np.compress(inputs, weight, axis=input_axis(linear))
    if outputs is not None:
        weight, bias = np.compress(outputs, weight, axis=output_axis(linear)), bias[outputs]
    changed = outputs is not None or bias is not linear.bias or linear.nodes[0].op_type == "MatMul"
    on_x = dataclasses.replace(linear, inputs=(x, *linear.inputs[1:]))
    return on_x.with_constants(output, weight, bias if changed else None)


def cut_link(node: ir.Node, inputs: list[ir.Value | None], kept: Kept) -> ir.Node:
    """A node that keeps channels apart (`links_of`), on new `inputs`, without the channels that are gone."""
    if node.op_type == "Slice":
        return again(node, _cut_slice(node, inputs, kept))
    if node.op_type == "Split":
        return again(node, *_cut_split(node, inputs, kept), outputs=len(node.outputs))
    stay = kept.get(node.outputs[0])
    return rebuild_link(
        node, inputs, None if stay is None else lambda array, axis, _: np.compress(stay, array, axis=axis)
    )


def _cut_slice(node: ir.Node, inputs: list[ir.Value | None], kept: Kept) -> list[ir.Value | None]:
    x, cut = node.inputs[0], channel_range(node)
    starts, ends = constant(node.inputs[1]), constant(node.inputs[2])
    if x is None or cut is None or cut[2] < 0 or x not in kept or starts is None or ends is None:
        return inputs
    first, last, place = cut
    starts, ends = starts.copy(), ends.copy()
    starts[place] = kept[x][:first].sum()
    ends[place] = kept[x][:last].sum()
    limits = [new_constant(node.outputs[0], role, a) for role, a in (("starts", starts), ("ends", ends))]
    return [inputs[0], *limits, *inputs[3:]]


def _cut_split(
    node: ir.Node, inputs: list[ir.Value | None], kept: Kept
) -> tuple[list[ir.Value | None], dict[str, ir.Attr]]:
    sizes = [int(kept[y].sum()) if y in kept else channel_count(y) or 0 for y in node.outputs]
    attributes = {"axis": ir.AttrInt64("axis", 1)}
    opset = node.graph.opset_imports.get("", _SPLIT_BY_INPUT) if node.graph is not None else _SPLIT_BY_INPUT
    if opset < _SPLIT_BY_INPUT:
        return inputs[:1], attributes | {"split": ir.AttrInt64s("split", sizes)}
    return [inputs[0], new_constant(node.outputs[0], "split", np.array(sizes, np.int64))], attributes
