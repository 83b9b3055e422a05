"""Operators that move elements along axes: Transpose, Concat, Split, Slice, Gather, Pad, Tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.geometry.reads import (
    Along,
    AxisRead,
    Edge,
    Reading,
    Scattered,
    fixed,
    known_shape,
    same,
    small_ints,
)

__all__ = ["read_concat", "read_gather", "read_pad", "read_slice", "read_split", "read_transpose"]

_EDGES = {"constant": Edge.NOTHING, "edge": Edge.NEAREST, "reflect": Edge.REFLECT, "wrap": Edge.WRAP}


def shifted(axis: int, by: int, *, edge: Edge = Edge.NOTHING, partial: bool = False) -> Along:
    """Output index o reads the input's o + by."""
    return Along(axis, lambda index: (index + by,), edge=edge, partial=partial)


def read_transpose(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Output axis j is input axis perm[j]."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    perm = list(node.attributes.get_ints("perm", range(len(before))[::-1]))
    return [Reading(x, 0, tuple(same(perm.index(axis)) for axis in range(len(before))))]


def read_concat(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Along the axis, each input holds the indices after those of the inputs before it."""
    found, offset = [], 0
    for value in filter(None, node.inputs):
        shape = known_shape(value, sizes)
        if shape is None:
            return None
        axis = (node.attributes.get_int("axis", 1) or 0) % len(shape)
        axes: list[AxisRead] = [same(place) for place in range(len(shape))]
        axes[axis] = shifted(axis, -offset, partial=True)
        found.append(Reading(value, 0, tuple(axes)))
        offset += shape[axis]
    return found


def read_split(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Along the axis, each output holds the indices after those of the outputs before it."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    axis, offset, found = (node.attributes.get_int("axis", 0) or 0) % len(before), 0, []
    for output, value in enumerate(node.outputs):
        shape = known_shape(value, sizes)
        if shape is None:
            return None
        axes: list[AxisRead] = [same(place) for place in range(len(before))]
        axes[axis] = shifted(axis, offset)
        found.append(Reading(x, output, tuple(axes)))
        offset += shape[axis]
    return found


def read_slice(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Output index o reads the input's start + step * o; where it ends, the output's shape says."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    attributes = "starts" in node.attributes  # before opset 10
    starts = list(node.attributes["starts"].as_ints()) if attributes else small_ints(node, 1)
    if starts is None:
        return None
    places = list(node.attributes.get_ints("axes", range(len(starts)))) if attributes else _or(node, 3, starts)
    steps = [1] * len(starts) if attributes else _or(node, 4, starts, ones=True)
    if places is None or steps is None:
        return None
    axes: list[AxisRead] = [same(axis) for axis in range(len(before))]
    for place, start, step in zip(places, starts, steps, strict=True):
        axis = place % len(before)
        axes[axis] = _sliced(axis, before[axis], start, step)
    return [Reading(x, 0, tuple(axes))]


def _or(node: ir.Node, position: int, starts: Sequence[int], *, ones: bool = False) -> list[int] | None:
    """An optional input of Slice: 0, 1, 2, ... or ones where it is left out, None where it is computed."""
    if position >= len(node.inputs) or node.inputs[position] is None:
        return [1] * len(starts) if ones else list(range(len(starts)))
    return small_ints(node, position)


def _sliced(axis: int, size: int, start: int, step: int) -> Along:
    first = start + size if start < 0 else start
    first = min(max(first, 0), size if step > 0 else size - 1)
    return Along(axis, lambda index: (first + step * index,), advance=step)


def read_gather(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """One index drops its axis; of several it is not said which output reads which."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    indices = known_shape(node.inputs[1], sizes)
    if x is None or before is None or indices is None:
        return None
    axis, added = (node.attributes.get_int("axis", 0) or 0) % len(before), len(indices) - 1
    numbers = small_ints(node, 1) if not indices else None
    gathered = fixed(None, numbers[0] % before[axis]) if numbers else Scattered(None)
    others = [same(place if place < axis else place + added) for place in range(len(before))]
    return [Reading(x, 0, (*others[:axis], gathered, *others[axis + 1 :]))]


def read_pad(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Output index o reads the input's o - begin; pads below 0 crop."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    pads = list(node.attributes["pads"].as_ints()) if "pads" in node.attributes else small_ints(node, 1)
    edge = _EDGES.get(node.attributes.get_string("mode", "constant") or "")
    if x is None or before is None or pads is None or edge is None:
        return None
    places = list(range(len(before)))
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        given = small_ints(node, 3)
        if given is None:
            return None
        places = [place % len(before) for place in given]
    axes: list[AxisRead] = [same(axis) for axis in range(len(before))]
    for axis, begin in zip(places, pads[: len(places)], strict=True):
        axes[axis] = shifted(axis, -begin, edge=edge)
    return [Reading(x, 0, tuple(axes))]
