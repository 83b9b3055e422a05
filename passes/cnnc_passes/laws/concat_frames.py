"""Concat(x, z)[t] => Concat(x[t], z[t]) along channels, by frames. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.frames import TIME, is_join, join_frames, split_frames
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["ConcatFrames"]


class ConcatFrames(Rewrite):
    """Put channels together frame by frame where frames are what comes (conv3d-to-2d): no clip need be joined for it.

    Leaves alone a Concat along another axis, and one of which nothing comes in frames. Declines if only some of what
    it puts together does.
    """

    roots = frozenset({"Concat"})
    trades = True  # views that the engine drops
    example = """
        g (float[N,1,4,4] a, float[N,1,4,4] b) => (float[N,2,2,4,4] y) <int64[1] t = {2}>
        {
            p = Unsqueeze (a, t)  q = Unsqueeze (b, t)  c = Concat <axis = 2> (p, q)
            y = Concat <axis = 1> (c, c)
        }
    """

    def rewrite(self, concat: ir.Node) -> Change | Decline | None:
        """Answer for one Concat."""
        clips = [clip for clip in concat.inputs if clip is not None]
        joins = [is_join(clip) for clip in clips]
        if concat.attributes.get_int("axis", 0) != 1 or not any(joins):
            return None
        if not all(joins):
            return Decline("some of what it puts together does not come in frames")
        nodes: list[ir.Node] = []
        parts: dict[ir.Value, list[ir.Value]] = {}
        for clip in dict.fromkeys(clips):
            more, parts[clip] = split_frames(clip, concat.outputs[0])
            nodes += more
        frames = zip(*(parts[clip] for clip in clips), strict=True)
        joined = [ir.node("Concat", list(pieces), {"axis": 1}) for pieces in frames]
        results = [node.outputs[0] for node in joined]
        return Change([concat], [*nodes, *joined, *join_frames(results, concat)], static=frozenset({TIME}))
