"""Reshape, Flatten, Squeeze, Unsqueeze, DepthToSpace: where the axes of a view lie in what it views."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from cnnc.analysis.geometry.reads import Along, AxisRead, Reading, Scattered, Shape, fixed, known_shape, same

__all__ = ["read_depth_to_space", "read_space_to_depth", "read_view", "view_axes"]


def read_view(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Any operator that keeps the elements in their row-major order; its shapes say all."""
    x, before, after = node.inputs[0], known_shape(node.inputs[0], sizes), known_shape(node.outputs[0], sizes)
    if x is None or before is None or after is None or math.prod(before) != math.prod(after) or 0 in before:
        return None
    return [Reading(x, 0, view_axes(before, after))]


def view_axes(before: Shape, after: Shape) -> tuple[AxisRead, ...]:
    """For each axis of `before`, how the axes of `after` read it.

    Axes fall into groups of equal products: (N, C, H, W) -> (N, C*H, W) has the groups N -> N, (C, H) -> C*H, W -> W.
    """
    head = _equal(before, after)
    tail = _equal(before[head:][::-1], after[head:][::-1])
    reads: list[AxisRead] = [fixed(None)] * len(before)  # what stays so has size 1
    reads[:head] = map(same, range(head))
    reads[len(before) - tail :] = map(same, range(len(after) - tail, len(after)))
    old = [axis for axis in range(head, len(before) - tail) if before[axis] != 1]
    new = [axis for axis in range(head, len(after) - tail) if after[axis] != 1]
    while old:
        source, target = [old.pop(0)], [new.pop(0)]
        while (have := _product(before, source)) != (want := _product(after, target)):
            (source if have < want else target).append((old if have < want else new).pop(0))
        for axis in source:
            reads[axis] = _placed(axis, before, source, after, target)
    return tuple(reads)


def _placed(axis: int, before: Shape, source: list[int], after: Shape, target: list[int]) -> AxisRead:
    """One axis of a group that becomes the axes `target`: a digit of the same number in another mixed radix.

    (64, 7, 7) -> (32, 98): the rows are (o // 7) % 7 of the second axis o, the channels depend on both.
    """
    inner, size = _inner(axis, before, source), before[axis]
    for place in target:
        step, length = _inner(place, after, target), after[place]
        if inner % step or step * length % (inner * size):
            continue
        ratio = inner // step
        if step * length > inner * size:  # and from the last row again to the first
            return Scattered(place)
        return same(place) if ratio == 1 else _divided(place, ratio)
    return Scattered(None)


def _divided(axis: int, by: int) -> Along:
    return Along(axis, lambda index: (index // by,), period=by)


def _inner(axis: int, shape: Shape, group: list[int]) -> int:
    """Elements from one index of `axis` to the next, within its group."""
    return _product(shape, [other for other in group if other > axis])


def _equal(before: Shape, after: Shape) -> int:
    """How many leading sizes are the same."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((axis for axis, (a, b) in pairs if a != b), min(len(before), len(after)))


def _product(shape: Shape, axes: list[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


def read_depth_to_space(node: ir.Node, _: Mapping[str, int]) -> list[Reading] | None:
    """Output row o lies in input row o // blocksize."""
    x, block = node.inputs[0], node.attributes.get_int("blocksize", 0) or 0
    if x is None or block < 1:
        return None
    return [Reading(x, 0, (same(0), Scattered(None), _divided(2, block), _divided(3, block)))]


def read_space_to_depth(node: ir.Node, _: Mapping[str, int]) -> list[Reading] | None:
    """Output row o holds, over its channels, the `blocksize` input rows from o * blocksize."""
    x, block = node.inputs[0], node.attributes.get_int("blocksize", 0) or 0
    if x is None or block < 1:
        return None
    spatial = [Along(axis, lambda index: range(index * block, (index + 1) * block), advance=block) for axis in (2, 3)]
    return [Reading(x, 0, (same(0), Scattered(None), *spatial))]
