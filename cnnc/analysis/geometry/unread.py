"""Rows and columns that are never read: by one layer's window, and of the image by the whole net."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence, Set

import onnx_ir as ir

from cnnc.analysis.geometry.images import image_inputs, spatial_axes
from cnnc.analysis.geometry.reads import Along, AxisRead, Edge, known_shape
from cnnc.analysis.geometry.rules import has_subgraph, readings
from cnnc.analysis.geometry.window_rules import window_read
from cnnc_passes.operations import read_inputs
from cnnc_passes.windows import node_windows

__all__ = ["Unread", "unread", "unread_input"]


@dataclasses.dataclass(frozen=True)
class Unread:
    """What is never read of one axis.

    Attributes:
        size: positions of the axis (rows, columns, frames).
        count: how many of them nothing reads.
        text: which: `none of 224`, `last 1 of 224`, `all but every 2nd of 56 (28 of 56)`.
    """

    size: int
    count: int
    text: str


def unread(node: ir.Node, sizes: Mapping[str, int]) -> tuple[Unread, ...]:
    """What the window of a convolution or pooling never reads of its input, one entry per spatial axis.

    A stride above the kernel's span skips; a last window that does not fit leaves the end out.

    Returns:
        nothing for other operators, and where a shape is not known.

    Raises:
        InvalidInputError: an attribute is impossible.
    """
    windows = node_windows(node)
    before, after = known_shape(node.inputs[0], sizes), known_shape(node.outputs[0], sizes)
    if windows is None or before is None or after is None or "output_shape" in node.attributes:
        return ()
    axes = zip(before[2:], after[2:], windows, strict=True)
    return tuple(
        _describe(_sources(window_read(0, size, window), range(outputs), size), size) for size, outputs, window in axes
    )


def unread_input(graph: ir.Graph, sizes: Mapping[str, int]) -> dict[ir.Value, tuple[Unread, ...]]:
    """Of each image-like input (rank 3 or more): what no output of the graph depends on, one entry per spatial axis.

    Weights count as nonzero. What an operator that is not known reads counts as read, so nothing is called
    unread that is not; where it reads two axes in a way that does not separate, some unread may go unnoticed.

    Args:
        graph: with inferred shapes, functions inlined and constants as initializers.
        sizes: values of open sizes, `{"height": 224}`.

    Raises:
        InvalidInputError: an attribute of a convolution or pooling is impossible.
    """
    needed: dict[ir.Value, list[_Indices]] = {}
    for value in graph.outputs:
        _need(needed, value, None, sizes)
    for node in reversed(list(graph)):
        _spread(node, needed, sizes)
    found = {}
    for image in image_inputs(graph):
        shape = known_shape(image, sizes)
        if shape is not None:
            indices = needed.get(image, [frozenset()] * len(shape))
            axes = spatial_axes(image)
            found[image] = tuple(_describe(_all(shape[axis], indices[axis]), shape[axis]) for axis in axes)
    return found


_Indices = Set[int] | None
"""Of one axis; None is all."""


def _spread(node: ir.Node, needed: dict[ir.Value, list[_Indices]], sizes: Mapping[str, int]) -> None:
    """From what is needed of the node's outputs to what is needed of its inputs."""
    wanted = [needed.get(output) for output in node.outputs]
    if all(axes is None for axes in wanted):
        return
    found = None if has_subgraph(node) else readings(node, sizes)
    named = {reading.source for reading in found or ()}
    for value in {*read_inputs(node), *_captured(node)} - named:
        if value is not None and value.const_value is None:
            _need(needed, value, None, sizes)
    for reading in found or ():
        outputs = wanted[reading.output]
        shape, after = known_shape(reading.source, sizes), known_shape(node.outputs[reading.output], sizes)
        if outputs is None or reading.source.const_value is not None:
            continue
        axes: list[_Indices] | None = None
        if shape is not None and after is not None:
            pairs = zip(reading.axes, shape, strict=True)
            axes = [_needed_along(read, size, outputs, after) for read, size in pairs]
        _need(needed, reading.source, axes, sizes)


def _captured(node: ir.Node) -> list[ir.Value | None]:
    """What nodes inside of an If, Loop or Scan read, and what its branches hand out."""
    found: list[ir.Value | None] = []
    for attribute in node.attributes.values():
        graphs = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else []
        graphs += attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else []
        for graph in graphs:
            found += list(graph.outputs)
            found += [value for inner in graph.all_nodes() for value in inner.inputs]
    return found


def _need(
    needed: dict[ir.Value, list[_Indices]], value: ir.Value, axes: list[_Indices] | None, sizes: Mapping[str, int]
) -> None:
    """Add to what is needed of `value`; `axes` None is all of it."""
    shape = known_shape(value, sizes)
    if axes is not None and any(indices is not None and not indices for indices in axes):
        return  # no element of it
    if axes is None or shape is None:
        needed[value] = [None] * (1 if shape is None else len(shape))
        return
    before = needed.get(value, [frozenset()] * len(shape))
    needed[value] = [
        None if old is None or new is None or len(union := old | new) == size else union
        for old, new, size in zip(before, axes, shape, strict=True)
    ]


def _needed_along(read: AxisRead, size: int, outputs: Sequence[_Indices], after: Sequence[int]) -> _Indices:
    if not isinstance(read, Along):
        return None
    if read.axis is None:
        return _sources(read, (0,), size)
    wanted = outputs[read.axis]
    if wanted is None and (read.period, read.advance) == (1, 1) and size == after[read.axis] and len(read.taps(0)) == 1:
        return None
    return _sources(read, _all(after[read.axis], wanted), size)


def _all(size: int, indices: _Indices) -> Set[int]:
    return frozenset(range(size)) if indices is None else indices


def _sources(read: Along, outputs: Iterable[int], size: int) -> frozenset[int]:
    """The input indices that these output indices read."""
    taps = {tap for index in outputs for tap in read.taps(index)}
    inside = {tap for tap in taps if 0 <= tap < size}
    return frozenset(inside | {_at_edge(tap, size, read.edge) for tap in taps - inside} - {-1})


def _at_edge(tap: int, size: int, edge: Edge) -> int:
    """Which index stands for one outside; -1 for none."""
    if edge is Edge.NOTHING:
        return -1
    if edge is Edge.WRAP:
        return tap % size
    if edge is Edge.REFLECT and size > 1:
        place = tap % (2 * size - 2)
        return min(place, 2 * size - 2 - place)
    return min(max(tap, 0), size - 1)


def _describe(read: Set[int], size: int) -> Unread:
    missing = [index for index in range(size) if index not in read]
    count = len(missing)
    if not read or not missing:
        return Unread(size, count, f"{'all' if missing else 'none'} of {size}")
    first, last = min(read), size - 1 - max(read)
    ends = [f"first {first}"] * (first > 0) + [f"last {last}"] * (last > 0)
    if count == first + last:
        return Unread(size, count, f"{' and '.join(ends)} of {size}")
    order = sorted(read)
    gaps = {after - before for before, after in itertools.pairwise(order)}
    if len(gaps) == 1:
        return Unread(size, count, f"all but every {_ordinal(gaps.pop())} of {size} ({count} of {size})")
    return Unread(size, count, f"{count} of {size}, the first at {missing[0]}")


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
