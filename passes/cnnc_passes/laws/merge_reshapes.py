"""view(view(x)) => Reshape(x, shape), or Flatten(x), or x; view = Reshape, Flatten, Squeeze, Unsqueeze. Exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import Dim, dims_of
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    constant,
    has_one_reader,
    is_stored,
    new_constant,
    producer,
    same_shape,
)

__all__ = ["MergeReshapes"]

_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


class MergeReshapes(Rewrite):
    """Give the elements their last shape at once: views keep their order.

    The shape is read off the result: an axis as long as that of x at the same place is copied, one other may be
    open. A Flatten of a view stays a Flatten where it can, for the laws that look for one.

    Declines if another node reads the first view (but where the second undoes it), a shape or axes may be
    overridden, two sizes of the result are open or one is 0, or if a graph output would be a graph input, a
    constant, or another graph output.
    """

    roots = frozenset(_VIEWS)
    example = """
        g (float[N,2,6] x) => (float[N,3,4] y) <int64[2] rows = {-1,12}, int64[3] last = {-1,3,4}>
        { r = Reshape (x, rows)  y = Reshape (r, last) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second view."""
        first = producer(node.inputs[0], *_VIEWS)
        x, y = first.inputs[0] if first is not None else None, node.outputs[0]
        if first is None or x is None:
            return None
        if any(is_stored(value) and constant(value) is None for value in (*first.inputs[1:], *node.inputs[1:])):
            return Decline("a shape may be overridden by the caller")
        is_alone = has_one_reader(first.outputs[0])
        remove = [first, node] if is_alone else [node]
        if same_shape(x, y):
            if y.is_graph_output() and (x.is_graph_input() or x.is_initializer() or x.is_graph_output()):
                return Decline("it gives a graph output its name")
            return Change(remove, [], {y: x})
        if not is_alone:
            return Decline(f"another node reads the {first.op_type}")
        if y.shape is None or x.shape is None:
            return Decline("the rank is unknown")
        metadata = dict(node.metadata_props)
        if "Flatten" in (first.op_type, node.op_type) and _is_flat(dims_of(x.shape), dims_of(y.shape)):
            return Change(remove, [ir.node("Flatten", [x], {"axis": 1}, name=node.name, metadata_props=metadata)])
        target = _target(dims_of(x.shape), dims_of(y.shape))
        if isinstance(target, Decline):
            return target
        shape = new_constant(y, "shape", np.array(target, np.int64))
        return Change(remove, [ir.node("Reshape", [x, shape], name=node.name, metadata_props=metadata)])


def _is_flat(x: Sequence[Dim], y: Sequence[Dim]) -> bool:
    """True if `y` is (N, the rest) of a shape `x` that begins with N."""
    return len(y) == 2 and len(x) > 1 and _known(x[0]) and x[0] == y[0]


def _target(x: Sequence[Dim], y: Sequence[Dim]) -> list[int] | Decline:
    """The shape that a Reshape of `x` takes: sizes, 0 for that of x at this place, -1 for the one that is left."""
    if 0 in y:
        return Decline("the result is empty")
    copied = [not isinstance(size, int) and i < len(x) and _known(size) and size == x[i] for i, size in enumerate(y)]
    target = [size if isinstance(size, int) else 0 if copy else -1 for size, copy in zip(y, copied, strict=True)]
    return Decline("two sizes of the result are open") if target.count(-1) > 1 else target


def _known(size: Dim) -> bool:
    return isinstance(size, int) or size.value is not None
