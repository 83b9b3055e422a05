"""g -> g moved back to where x's elements came from."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step

__all__ = ["SHAPES"]


def reshape(s: Step) -> ir.Value:
    """Reshape: dx = g in x's shape; also of Flatten."""
    return s.reshape(s.full(s.g, s.y), s.x)


def squeeze(s: Step) -> ir.Value:
    """Squeeze: dx = g with the axes of size 1 again."""
    axes = s.constant_input(1, "axes")
    if axes is None:
        return reshape(s)
    return s.op("Unsqueeze", s.g, axes)


def unsqueeze(s: Step) -> ir.Value:
    """Unsqueeze: dx = g without the new axes."""
    axes = s.constant_input(1, "axes")
    return reshape(s) if axes is None else s.op("Squeeze", s.g, axes)


def transpose(s: Step) -> ir.Value:
    """Transpose: dx = g, transposed by the inverse permutation."""
    rank = len(s.dims(s.x))
    order = list(s.node.attributes.get_ints("perm", ()) or range(rank)[::-1])
    return s.op("Transpose", s.g, perm=np.argsort(order).tolist())


def expand(s: Step) -> ir.Value:
    """Expand: dx = the sum of g over what x was spread to."""
    return s.sum_to(s.g, s.x)


def tile(s: Step) -> ir.Value:
    """Tile: dx = the sum of g over the copies."""
    repeats = s.constant_input(1, "repeats")
    assert repeats is not None
    g = s.full(s.g, s.y)
    for axis, count in enumerate(repeats.tolist()):
        if count != 1:
            size = s.sizes(s.x, [axis])[0]
            copies = s.op("Reshape", g, _split_axis(s, g, axis, [count, size]))
            g = s.op("ReduceSum", copies, np.array([axis]), keepdims=0)
    return g


def depth_to_space(s: Step) -> ir.Value:
    """DepthToSpace: dx = SpaceToDepth(g), its channels in the order of the mode."""
    block = s.integer("blocksize", 1)
    back = s.op("SpaceToDepth", s.full(s.g, s.y), blocksize=block)
    if s.node.attributes.get_string("mode", "DCR") != "CRD":
        return back
    channels = s.sizes(s.x, [1])[0]  # from (block*block, C) to (C, block*block)
    order = np.arange(channels).reshape(block * block, -1).T.reshape(-1)
    return s.op("Gather", back, order, axis=1)


def space_to_depth(s: Step) -> ir.Value:
    """SpaceToDepth: dx = DepthToSpace(g)."""
    return s.op("DepthToSpace", s.full(s.g, s.y), blocksize=s.integer("blocksize", 1), mode="DCR")


def _split_axis(s: Step, value: ir.Value, axis: int, parts: list[int]) -> np.ndarray:
    """A Reshape's target that splits one axis; others are copied, by 0 before it, by their size after it."""
    after = s.sizes(value, range(axis + 1, len(s.dims(value))))
    return np.array([*[0] * axis, *parts, *after], np.int64)


SHAPES: dict[str, Rule] = {
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "Tile": tile,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
