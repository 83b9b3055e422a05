"""y = x taken at indices along an axis => dx = g put back there, and summed where an element was taken twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.rewrite import constant

__all__ = ["SELECTIONS", "map_back", "put_back"]

_END = 2**31 - 1  # or more: to the end of an axis


def slice_(s: Step) -> ir.Value:
    """Slice: dx = g between zeros."""
    starts, ends = s.constant_input(1, "bounds"), s.constant_input(2, "bounds")
    if starts is None or ends is None:
        s.refuse("its bounds are attributes")
    axes, steps = s.constant_input(3, "axes"), s.constant_input(4, "steps")
    every = zip(
        starts.tolist(),
        ends.tolist(),
        range(len(starts)) if axes is None else axes.tolist(),
        [1] * len(starts) if steps is None else steps.tolist(),
        strict=True,
    )
    g = s.g
    for start, end, axis, step in every:
        g = _unsliced(s, g, axis % len(s.dims(s.x)), slice(start, end, step))
    return g


def _unsliced(s: Step, g: ir.Value, axis: int, taken: slice) -> ir.Value:
    size = s.dims(s.x)[axis]
    if isinstance(size, int):
        return put_back(s, g, axis, np.arange(*taken.indices(size)), size)
    if taken.start == 0 and taken.stop >= _END and taken.step == 1:
        return g
    if taken.start < 0 or taken.step != 1:
        s.refuse(f"from the end, or by steps, it slices {s.x.name!r} of the open shape {s.x.shape}", open_size=True)
    own, part = s.tape.shape_of(s.x, axis, axis + 1), s.tape.shape_of(s.y, axis, axis + 1)
    before = np.array([taken.start], np.int64)
    after = s.op("Sub", s.op("Sub", own, part), before)
    left, right = np.zeros(axis, np.int64), np.zeros(len(s.dims(s.x)) - axis - 1, np.int64)
    pads = s.op("Concat", left, before, right, left, after, right, axis=0)
    return s.op("Pad", s.full(g, s.y), pads, 0.0)


def gather(s: Step) -> ir.Value:
    """Gather: dx = g at the indices along the axis, summed where one comes twice; of a vector, also computed ones."""
    axis = s.integer("axis", 0) % len(s.dims(s.x))
    known = constant(s.input(1))
    if len(s.dims(s.x)) == 1 and (known is None or known.ndim > 1):  # as_strided is exported so
        everywhere = np.array([-1], np.int64)
        places, g = s.op("Reshape", s.input(1), everywhere), s.op("Reshape", s.full(s.g, s.y), everywhere)
        return s.op("ScatterElements", s.zeros(), places, g, axis=0, reduction="add", like=s.x)
    indices = s.constant_input(1, "indices")
    if indices is None or indices.ndim > 1:
        s.refuse("its indices have more than one axis")
    g = s.op("Unsqueeze", s.g, np.array([axis])) if indices.ndim == 0 else s.g
    return put_back(s, g, axis, indices.reshape(-1), s.sizes(s.x, [axis])[0])


def gather_nd(s: Step) -> ir.Value:
    """GatherND: dx = g at the indices, where they are a list of places on the first axis."""
    indices = s.constant_input(1, "indices")
    if indices is None or indices.ndim != 2 or indices.shape[1] != 1 or s.integer("batch_dims", 0):
        s.refuse("its indices are not a list of places on the first axis")
    return put_back(s, s.g, 0, indices[:, 0], s.sizes(s.x, [0])[0])


def gather_elements(s: Step) -> ir.Value:
    """GatherElements: dx = the sum of the g that come from a place, along the axis."""
    axis = s.integer("axis", 0)
    return s.op("ScatterElements", s.zeros(), s.input(1), s.full(s.g, s.y), axis=axis, reduction="add", like=s.x)


def split(s: Step) -> ir.Value:
    """Split: dx = the gradients of the parts, joined; zeros for a part that is not used."""
    axis = s.integer("axis", 0) % len(s.dims(s.x))
    parts = [s.sizes(value, [axis])[0] for value in s.node.outputs]
    used = [(index, g) for index, g in enumerate(s.gradients) if g is not None]
    if len(used) == 1:
        index, g = used[0]
        start = sum(parts[:index])
        return put_back(s, s.full(g, s.node.outputs[index]), axis, np.arange(start, start + parts[index]), sum(parts))
    pairs = zip(s.gradients, s.node.outputs, strict=True)
    whole = [
        s.full(g, value) if g is not None else s.op("Expand", 0.0, s.tape.shape_of(value), like=value)
        for g, value in pairs
    ]
    return s.op("Concat", *whole, like=s.x, axis=axis)


def concat(s: Step) -> ir.Value:
    """Concat: dx = the part of g that was x."""
    axis = s.integer("axis", 0) % len(s.dims(s.x))
    if s.dims(s.g)[axis] == 1:  # the same all along
        return s.g
    start = _length(s, range(s.index), axis)
    end = _length(s, range(s.index + 1), axis)
    return s.op("Slice", s.g, start, end, np.array([axis]))


def _length(s: Step, inputs: Iterable[int], axis: int) -> ir.Value | np.ndarray:
    """What these inputs measure together along an axis, (1,): computed where a size is open."""
    values = [s.input(index) for index in inputs]
    sizes = [s.dims(value)[axis] for value in values]
    total: ir.Value | np.ndarray = np.array([sum(size for size in sizes if isinstance(size, int))])
    for value, size in zip(values, sizes, strict=True):
        if not isinstance(size, int):
            total = s.op("Add", s.tape.shape_of(value, axis, axis + 1), total)
    return total


def pad(s: Step) -> ir.Value:
    """Pad: dx = the inner part of g; what was copied out of x (reflect, edge, wrap) is summed where it came from."""
    if s.index != 0:
        s.refuse("the gradient of its constant was asked for")
    pads, axes = s.constant_input(1, "pads"), s.constant_input(3, "axes")
    assert pads is not None
    rank, mode = len(s.dims(s.x)), s.node.attributes.get_string("mode", "constant") or "constant"
    places = range(rank) if axes is None else [axis % rank for axis in axes.tolist()]
    amounts = {axis: (int(a), int(b)) for axis, a, b in zip(places, pads, pads[len(places) :], strict=False) if a or b}
    if mode != "constant":
        return _unpadded(s, amounts, mode)
    g = s.full(s.g, s.y)
    cut = {axis: (max(a, 0), max(b, 0)) for axis, (a, b) in amounts.items() if a > 0 or b > 0}
    if cut:
        starts, ends = [a for a, _ in cut.values()], [-b if b else _END for _, b in cut.values()]
        g = s.op("Slice", g, np.array(starts), np.array(ends), np.array(list(cut)))
    return pad_zeros(s, g, {axis: (max(-a, 0), max(-b, 0)) for axis, (a, b) in amounts.items() if a < 0 or b < 0})


def _unpadded(s: Step, amounts: Mapping[int, tuple[int, int]], mode: str) -> ir.Value:
    g = s.g
    for axis, (before, after) in amounts.items():
        size = s.sizes(s.x, [axis])[0]
        if min(before, after) < 0:
            s.refuse(f"it crops, with mode {mode!r}")
        g = put_back(s, g, axis, np.pad(np.arange(size), (before, after), mode=mode), size)  # type: ignore[call-overload]
    return g


def put_back(s: Step, g: ir.Value, axis: int, indices: np.ndarray, size: int) -> ir.Value:
    """What y = x[indices] along `axis`, of `size` in x, takes g back to; exact, and a sum only where indices repeat."""
    indices, count = indices % size, len(indices)
    if count == size and bool(np.all(indices == np.arange(size))):
        return g
    g = s.spread(g, axis, count)
    if bool(np.all(np.diff(indices) == 1)):
        return pad_zeros(s, g, {axis: (int(indices[0]), size - 1 - int(indices[-1]))})
    if len(np.unique(indices)) < count:
        return map_back(s, g, axis, np.eye(size)[indices])
    places = np.full(size, count)
    places[indices] = np.arange(count)
    if count < size:
        g = pad_zeros(s, g, {axis: (0, 1)})
    return s.op("Gather", g, places, axis=axis)


def pad_zeros(s: Step, g: ir.Value, amounts: Mapping[int, Sequence[int]]) -> ir.Value:
    """`g` between zeros, (before, after) of them along each axis."""
    if not any(map(any, amounts.values())):
        return g
    # Of every axis: onnxruntime 1.31 moves a Transpose through a Pad as if its pads were always that
    axes = range(len(s.dims(g)))
    pads = [amounts[axis][end] if axis in amounts else 0 for end in (0, 1) for axis in axes]
    return s.op("Pad", g, np.array(pads, np.int64), 0.0)


def map_back(s: Step, g: ir.Value, axis: int, matrix: np.ndarray) -> ir.Value:
    """What y = `matrix` x along `axis`, (sizes of y, of x), takes g back to: its transpose times g."""
    g, rank = s.spread(g, axis, len(matrix)), len(s.dims(g))
    if axis == rank - 1:
        return s.op("MatMul", g, matrix)
    if axis == rank - 2:
        return s.op("MatMul", matrix.T, g)
    swap = [rank - 1 if i == axis else axis if i == rank - 1 else i for i in range(rank)]
    return s.op("Transpose", s.op("MatMul", s.op("Transpose", g, perm=swap), matrix), perm=swap)


SELECTIONS: dict[str, Rule] = {
    "Slice": slice_,
    "Gather": gather,
    "GatherND": gather_nd,
    "GatherElements": gather_elements,
    "Split": split,
    "Concat": concat,
    "Pad": pad,
}
