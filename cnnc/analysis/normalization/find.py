"""The normalizations of a graph, one operator each or spelled with several, as PyTorch's exporter does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.normalization.operators import grouped, local_response, normalization_of
from cnnc.analysis.normalization.result import Normalization
from cnnc_passes.rewrite import constant, op_name, producer
from cnnc_passes.sizes import concrete_shape

__all__ = ["normalizations"]

_SCOPES = "pkg.torch.onnx.name_scopes"
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Pad")


def normalizations(nodes: Sequence[ir.Node], sizes: Mapping[str, int]) -> dict[ir.Node, Normalization]:
    """By the first node of each.

    GroupNorm comes from PyTorch as Reshape, InstanceNormalization, Reshape, Mul, Add; LocalResponseNorm as the
    squares, a pooling across the channels, Mul, Add, Pow, Div. The first node stands for all of them.

    Args:
        nodes: those that compute on the data, in order, with inferred shapes.
        sizes: values of the graph's open sizes.
    """
    found: dict[ir.Node, Normalization] = {}
    places = {node: place for place, node in enumerate(nodes)}
    for node in nodes:
        spelled = _grouped(node, nodes, places, sizes) or _local_response(node)
        if spelled is not None and spelled[0] in places:
            found[spelled[0]] = spelled[1]
        elif (alone := normalization_of(node, sizes)) is not None:
            found[node] = alone
    return found


def _grouped(
    norm: ir.Node, nodes: Sequence[ir.Node], places: Mapping[ir.Node, int], sizes: Mapping[str, int]
) -> tuple[ir.Node, Normalization] | None:
    """Reshape to (N, groups, -1), InstanceNormalization, Reshape back, and what the same call goes on with."""
    if op_name(norm) != "InstanceNormalization":
        return None
    before, after = producer(norm.inputs[0], "Reshape"), _only_reader(norm.outputs[0])
    x = before.inputs[0] if before is not None else None
    if before is None or x is None or after is None or op_name(after) != "Reshape" or norm.inputs[0] is None:
        return None
    shape, inner = concrete_shape(x, sizes), concrete_shape(norm.inputs[0], sizes)
    if shape is None or inner is None or len(inner) < 3 or shape != concrete_shape(after.outputs[0], sizes):
        return None
    said = grouped(x, inner[1], sizes) if shape[0] == inner[0] else None
    if said is None:
        return None
    call, end = norm.metadata_props.get(_SCOPES), places[after]
    while call and end + 1 < len(nodes) and nodes[end + 1].metadata_props.get(_SCOPES) == call:
        end += 1
    return before, dataclasses.replace(said, operators=end - places[before] + 1)


def _local_response(div: ir.Node) -> tuple[ir.Node, Normalization] | None:
    """Div(x, (k + alpha * mean(x*x))^beta), the mean over neighboring channels by an AveragePool of one more axis."""
    x = div.inputs[0] if op_name(div) == "Div" else None
    power = producer(div.inputs[1], "Pow") if x is not None else None
    total = producer(power.inputs[0], "Add") if power is not None else None
    scaled = producer(total.inputs[0], "Mul") if total is not None else None
    if x is None or power is None or total is None or scaled is None:
        return None
    numbers = [_number(node.inputs[1]) for node in (scaled, power, total)]
    chain, pool = [div, power, total, scaled], _through_views(scaled.inputs[0])
    chain += pool
    if not pool or op_name(pool[-1]) != "AveragePool" or None in numbers:
        return None
    squares = _through_views(pool[-1].inputs[0])
    chain += squares
    if not squares or op_name(squares[-1]) != "Mul" or set(squares[-1].inputs) != {x}:
        return None
    size = _channel_window(pool[-1], x)
    alpha, beta, bias = (number or 0.0 for number in numbers)
    if size is None:
        return None
    return squares[-1], dataclasses.replace(local_response(size, alpha, beta, bias), operators=len(chain))


def _through_views(value: ir.Value | None) -> list[ir.Node]:
    """The nodes back to the first that is no view or padding, that one included; none where there is no such node."""
    nodes: list[ir.Node] = []
    while value is not None and (node := value.producer()) is not None:
        nodes.append(node)
        if op_name(node) not in _VIEWS:
            return nodes
        value = node.inputs[0]
    return []


def _channel_window(pool: ir.Node, x: ir.Value) -> int | None:
    """How many channels the pooling spans: its first axis, the others 1; None for any other pooling."""
    window = tuple(pool.attributes.get_ints("kernel_shape", ()))
    spatial = math.prod(window[1:])
    strides = set(pool.attributes.get_ints("strides", (1,)))
    counts_all = pool.attributes.get_int("count_include_pad", 0) or not any(pool.attributes.get_ints("pads", ()))
    whole, part = pool.outputs[0].shape, x.shape
    if not window or spatial != 1 or strides != {1} or not counts_all:
        return None
    if whole is None or part is None or len(whole) < 3 or len(part) < 2:
        return None
    return window[0] if whole[1] == 1 and whole[2] == part[1] else None


def _number(value: ir.Value | None) -> float | None:
    """A constant of one element."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    array = constant(value)
    return None if array is None else float(array.item())


def _only_reader(value: ir.Value) -> ir.Node | None:
    readers = {use.node for use in value.uses()}
    return readers.pop() if len(readers) == 1 else None
