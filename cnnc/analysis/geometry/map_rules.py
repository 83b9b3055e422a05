"""Operators that keep the places of elements, reduce whole axes, or both: elementwise, means, matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import onnx_ir as ir

from cnnc.analysis.geometry.reads import (
    EVERYTHING,
    AxisRead,
    Reading,
    Scattered,
    Shape,
    fixed,
    known_shape,
    same,
    small_ints,
)
from cnnc_passes.rewrite import opset

__all__ = [
    "layer_axes",
    "normalization",
    "read_across_channels",
    "read_elementwise",
    "read_first_elementwise",
    "read_gemm",
    "read_global_pooling",
    "read_matmul",
    "read_reduction",
    "softmax_axes",
    "spatial",
]

_Axes = Callable[[ir.Node, int], Iterable[int]]
"""(node, rank) -> axes"""


def read_elementwise(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Every output element reads the elements at its place, broadcast as NumPy does."""
    after, found = known_shape(node.outputs[0], sizes), []
    for value in filter(None, node.inputs):
        before = known_shape(value, sizes)
        if before is None or after is None or len(before) > len(after):
            return None
        found.append(Reading(value, 0, _broadcast(before, after)))
    return found


def read_first_elementwise(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """The same for operators whose other inputs are no maps: statistics, scales, the target of an Expand."""
    x, before, after = node.inputs[0], known_shape(node.inputs[0], sizes), known_shape(node.outputs[0], sizes)
    if x is None or before is None or after is None or len(before) > len(after):
        return None
    return [Reading(x, output, _broadcast(before, after)) for output in range(len(node.outputs))]


def read_across_channels(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Local response normalization: neighbors in axis 1."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    return [Reading(x, 0, (same(0), Scattered(None), *map(same, range(2, len(before)))))]


def _broadcast(before: Shape, after: Shape) -> tuple[AxisRead, ...]:
    places = enumerate(before, len(after) - len(before))
    return tuple(same(axis) if size == after[axis] else fixed(axis) for axis, size in places)


def _whole(axes: Iterable[int], rank: int, *, kept: bool = True) -> tuple[AxisRead, ...]:
    """`axes` read as a whole; the others stay where they are, or move up where these are not kept."""
    whole, places = {axis % rank for axis in axes}, iter(range(rank))
    return tuple(EVERYTHING if axis in whole else same(axis if kept else next(places)) for axis in range(rank))


def read_reduction(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """ReduceMean and its kin, ArgMax, ArgMin."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    axes: Iterable[int] | None
    if node.op_type in ("ArgMax", "ArgMin"):
        axes = [node.attributes.get_int("axis", 0) or 0]
    elif len(node.inputs) > 1 and node.inputs[1] is not None:
        axes = small_ints(node, 1)
    else:
        axes = node.attributes.get_ints("axes", [])
    if axes is None:
        return None
    axes = list(axes)
    if not axes and not node.attributes.get_int("noop_with_empty_axes", 0):
        axes = list(range(len(before)))
    return [Reading(x, 0, _whole(axes, len(before), kept=bool(node.attributes.get_int("keepdims", 1))))]


def read_global_pooling(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """All spatial axes become 1."""
    x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
    if x is None or before is None:
        return None
    return [Reading(x, 0, _whole(range(2, len(before)), len(before)))]


def normalization(axes_of: _Axes) -> Callable[[ir.Node, Mapping[str, int]], list[Reading] | None]:
    """Each element reads itself, and through mean and deviation, or a sum, all of the axes."""

    def rule(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
        x, before = node.inputs[0], known_shape(node.inputs[0], sizes)
        if x is None or before is None:
            return None
        rank = len(before)
        itself = tuple(map(same, range(rank)))
        return [Reading(x, 0, itself), Reading(x, 0, _whole(axes_of(node, rank), rank))]

    return rule


def softmax_axes(node: ir.Node, rank: int) -> Iterable[int]:
    """One; before opset 13 all from it on."""
    if opset(node) >= 13:
        return [node.attributes.get_int("axis", -1) or 0]
    return range((node.attributes.get_int("axis", 1) or 0) % rank, rank)


def layer_axes(node: ir.Node, rank: int) -> Iterable[int]:
    """All from `axis` on."""
    return range((node.attributes.get_int("axis", -1) or 0) % rank, rank)


def spatial(_: ir.Node, rank: int) -> Iterable[int]:
    """All after batch and channels."""
    return range(2, rank)


def read_gemm(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """Rows of A, columns of B, and the bias at its place."""
    a, b, after = node.inputs[0], node.inputs[1], known_shape(node.outputs[0], sizes)
    if a is None or b is None or after is None:
        return None
    rows, columns = (same(0), EVERYTHING), (EVERYTHING, same(1))
    found = [
        Reading(a, 0, rows[::-1] if node.attributes.get_int("transA", 0) else rows),
        Reading(b, 0, columns[::-1] if node.attributes.get_int("transB", 0) else columns),
    ]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    before = known_shape(bias, sizes)
    if bias is not None and before is not None:
        found.append(Reading(bias, 0, _broadcast(before, after)))
    return found


def read_matmul(node: ir.Node, sizes: Mapping[str, int]) -> list[Reading] | None:
    """(..., rows, inner) times (..., inner, columns); the leading axes broadcast."""
    a, b, after = node.inputs[0], node.inputs[1], known_shape(node.outputs[0], sizes)
    left, right = known_shape(a, sizes), known_shape(b, sizes)
    if a is None or b is None or left is None or right is None or after is None or min(len(left), len(right)) < 2:
        return None
    rank, leading = len(after), after[:-2]
    return [
        Reading(a, 0, (*_broadcast(left[:-2], leading), same(rank - 2), EVERYTHING)),
        Reading(b, 0, (*_broadcast(right[:-2], leading), EVERYTHING, same(rank - 1))),
    ]
