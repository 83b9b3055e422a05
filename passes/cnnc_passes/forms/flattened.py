"""The end of a feature map: vectors that are a map (N, C, *map) in one row, and who reads them."""

from __future__ import annotations

import math

import onnx_ir as ir

from cnnc_passes.dims import dims_of
from cnnc_passes.rewrite import producer

__all__ = ["flattened", "is_one_place", "map_size", "stays_one_place"]


def flattened(value: ir.Value | None) -> ir.Value | None:
    """The map x of rank 3 or more where `value` is (N, C*map), the elements of each item of x in their order.

    However it is spelled: Flatten, Squeeze, or Reshape to a shape that is known; of one another, too.
    """
    node = producer(value, "Flatten", "Reshape", "Squeeze")
    x = node.inputs[0] if node is not None else None
    if node is None or value is None or x is None or x.shape is None or value.shape is None or len(value.shape) != 2:
        return None
    if any(one is not None and one.is_graph_input() for one in node.inputs[1:]):
        return None  # a shape that a caller may override
    batch, *rest = dims_of(x.shape)
    if batch != value.shape[0] or (not isinstance(batch, int) and batch.value is None):
        return None
    sizes = [size for size in rest if isinstance(size, int)]
    if len(sizes) < len(rest) or value.shape[1] != math.prod(sizes):
        return None
    return flattened(x) if len(rest) == 1 else x


def map_size(value: ir.Value) -> tuple[int, ...] | None:
    """The spatial sizes of a map (N, C, *map); None where one is open or there are none."""
    if value.shape is None or len(value.shape) < 3:
        return None
    sizes = [size for size in dims_of(value.shape)[2:] if isinstance(size, int)]
    return tuple(sizes) if len(sizes) == len(value.shape) - 2 else None


def is_one_place(value: ir.Value) -> bool:
    """True if each item is one vector: at most one axis behind the batch is longer than 1."""
    return value.shape is not None and sum(size != 1 for size in dims_of(value.shape)[1:]) <= 1


def stays_one_place(value: ir.Value) -> bool:
    """True if all that is computed from `value` is one vector an item, to the graph's outputs.

    The pooling of a head is so; that of a squeeze-and-excitation block is not: it weighs a map.
    """
    seen, waiting = {value}, [value]
    while waiting:
        one = waiting.pop()
        if not is_one_place(one):
            return False
        for output in (output for node, _ in one.uses() for output in node.outputs):
            if output not in seen:
                seen.add(output)
                waiting.append(output)
    return any(one.is_graph_output() for one in seen)
