"""Squeeze(Split(Concat(Unsqueeze(a), Unsqueeze(b), ...))) => a, b, ...: frames joined and taken apart. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.frames import is_split, joined_frames
from cnnc_passes.rewrite import Change, Decline, Rewrite, producer

__all__ = ["MergeFrames"]


class MergeFrames(Rewrite):
    """Hand frames from one layer to the next as they are.

    What joined them stays where something else reads it. Declines if a reader of a piece does not take it as a frame,
    or the caller sees one.
    """

    roots = frozenset({"Split"})
    example = """
        g (float[N,1,4,4] a, float[N,1,4,4] b) => (float[N,1,4,4] y, float[N,1,4,4] z)
        <int64[1] t = {2}, int64[2] one = {1,1}>
        {
            p = Unsqueeze (a, t)  q = Unsqueeze (b, t)  c = Concat <axis = 2> (p, q)
            r, s = Split <axis = 2> (c, one)
            u = Squeeze (r, t)  v = Squeeze (s, t)
            y = Relu (u)  z = Relu (v)
        }
    """

    def rewrite(self, split: ir.Node) -> Change | Decline | None:
        """Answer for one Split."""
        clip = split.inputs[0]
        frames = joined_frames(clip) if is_split(split) else None
        if frames is None or clip is None or len(split.outputs) != len(frames):
            return None
        uses = [piece.uses() for piece in split.outputs]
        squeezes = [use.node for readers in uses for use in readers]
        seen = [*split.outputs, *(node.outputs[0] for node in squeezes)]
        if any(node.op_type != "Squeeze" for node in squeezes) or any(value.is_graph_output() for value in seen):
            return Decline("a piece is read as something else than a frame")
        replace = {use.node.outputs[0]: frame for readers, frame in zip(uses, frames, strict=True) for use in readers}
        join = producer(clip, "Concat")
        assert join is not None
        raised = [node for piece in join.inputs if (node := producer(piece, "Unsqueeze")) is not None]
        return Change([split, *squeezes], [], replace, given=[*dict.fromkeys(raised), join])
