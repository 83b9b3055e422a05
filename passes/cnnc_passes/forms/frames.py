"""A clip as its frames: (N, C, T, H, W) split along T into T maps of (N, C, H, W), and joined again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import constant, new_constant, op_name, producer
from cnnc_passes.shapes import Window

__all__ = ["TIME", "frame_count", "is_join", "is_split", "join_frames", "joined_frames", "split_frames", "taps_of"]

TIME = 2


def frame_count(clip: ir.Value | None) -> int | None:
    """T of a clip; None where it is open, or the value no clip."""
    shape = clip.shape if clip is not None else None
    size = shape[TIME] if shape is not None and len(shape) == 5 else None
    return size if isinstance(size, int) else None


def split_frames(clip: ir.Value, output: ir.Value) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes that take a clip apart, and its frames; constants are named after `output`."""
    count = frame_count(clip)
    assert count is not None
    axes = new_constant(output, "time", np.array([TIME], np.int64))
    if count == 1:
        only = ir.node("Squeeze", [clip, axes])
        return [only], [only.outputs[0]]
    sizes = new_constant(output, "frames", np.ones(count, np.int64))
    split = ir.node("Split", [clip, sizes], {"axis": TIME}, num_outputs=count)
    squeezed = [ir.node("Squeeze", [piece, axes]) for piece in split.outputs]
    return [split, *squeezed], [node.outputs[0] for node in squeezed]


def join_frames(frames: Sequence[ir.Value], like: ir.Node) -> list[ir.Node]:
    """The nodes that make a clip of frames, in the place of what `like` computes; the last one gives it."""
    axes = new_constant(like.outputs[0], "time", np.array([TIME], np.int64))
    metadata = dict(like.metadata_props)
    if len(frames) == 1:
        return [ir.node("Unsqueeze", [frames[0], axes], name=like.name, metadata_props=metadata)]
    raised = [ir.node("Unsqueeze", [frame, axes]) for frame in frames]
    pieces = [node.outputs[0] for node in raised]
    return [*raised, ir.node("Concat", pieces, {"axis": TIME}, name=like.name, metadata_props=metadata)]


def joined_frames(clip: ir.Value | None) -> list[ir.Value] | None:
    """The frames that a clip was just made of, one an index along T; None where it was made otherwise."""
    only = producer(clip, "Unsqueeze")
    if only is not None and frame_count(clip) == 1 and _is_time(only.inputs[1]) and only.inputs[0] is not None:
        return [only.inputs[0]]
    join = producer(clip, "Concat")
    if join is None or join.attributes.get_int("axis", 0) != TIME or frame_count(clip) != len(join.inputs):
        return None
    frames = []
    for piece in join.inputs:
        raised = producer(piece, "Unsqueeze")
        if raised is None or not _is_time(raised.inputs[1]):
            return None
        frames.append(raised.inputs[0])
    return frames if None not in frames else None  # type: ignore[return-value]


def is_join(clip: ir.Value | None) -> bool:
    """True if `joined_frames` knows the frames."""
    return joined_frames(clip) is not None


def is_split(node: ir.Node) -> bool:
    """True if `node` takes a clip apart into single frames."""
    return op_name(node) == "Split" and node.attributes.get_int("axis", 0) == TIME


def taps_of(window: Window, index: int, frames: int) -> list[tuple[int, int]]:
    """(tap, frame) of what frame `index` of a result is made of, padding in time left out."""
    start = index * window.stride - window.pads[0]
    seen = [(tap, start + tap * window.dilation) for tap in range(window.kernel)]
    return [(tap, frame) for tap, frame in seen if 0 <= frame < frames]


def _is_time(axes: ir.Value | None) -> bool:
    array = constant(axes)
    return array is not None and array.tolist() == [TIME]
