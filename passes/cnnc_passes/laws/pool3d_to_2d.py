"""Pool3d(x)[t] => the maximum or mean over i of Pool2d(x[t*s - p + i*d]), by frames. Exact; a mean up to rounding."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from cnnc_passes.forms.frames import TIME, frame_count, is_join, join_frames, split_frames, taps_of
from cnnc_passes.rewrite import Change, Decline, Rewrite
from cnnc_passes.windows import node_windows

__all__ = ["Pool3dTo2d"]

_OVER_TIME = {"MaxPool": "Max", "AveragePool": "Mean", "GlobalAveragePool": "Mean"}


class Pool3dTo2d(Rewrite):
    """Pool clips frame by frame where frames are what comes (conv3d-to-2d): no clip need be joined for it.

    Declines if the number of frames of the result is open, auto_pad is set, the Indices are read, a frame of the
    result sees padding alone, or a mean reaches over the first or last frame: the padding may count.
    """

    roots = frozenset(_OVER_TIME)
    trades = True  # a clip is read once, its frames once a tap
    example = """
        g (float[N,1,4,4] a, float[N,1,4,4] b) => (float[N,1,2,2,2] y) <int64[1] t = {2}>
        {
            p = Unsqueeze (a, t)  q = Unsqueeze (b, t)  c = Concat <axis = 2> (p, q)
            y = MaxPool <kernel_shape = [2,2,2], strides = [1,2,2], pads = [1,0,0,0,0,0]> (c)
        }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one pooling."""
        x, y = pool.inputs[0], pool.outputs[0]
        if x is None or not is_join(x):
            return None
        frames, results = frame_count(x), frame_count(y)
        if frames is None or results is None:
            return Decline("the number of frames is open")
        if any(output.uses() or output.is_graph_output() for output in pool.outputs[1:]):
            return Decline("the Indices are read")
        nodes, parts = split_frames(x, y)
        if pool.op_type == "GlobalAveragePool":
            pooled = [ir.node("GlobalAveragePool", [part]) for part in parts]
            return _joined(pool, [*nodes, *pooled], pooled, [range(frames)])
        windows = node_windows(pool)
        if windows is None or any(window.auto_pad != "NOTSET" for window in windows):
            return Decline("auto_pad is set")
        seen = [[frame for _, frame in taps_of(windows[0], index, frames)] for index in range(results)]
        if not all(seen):
            return Decline("a frame of the result sees padding alone")
        if pool.op_type == "AveragePool" and any(len(taps) < windows[0].kernel for taps in seen):
            return Decline("a mean reaches over the first or last frame")
        flat = {
            "kernel_shape": [window.kernel for window in windows[1:]],
            "strides": [window.stride for window in windows[1:]],
            "dilations": [window.dilation for window in windows[1:]],
            "pads": [window.pads[side] for side in (0, 1) for window in windows[1:]],
        }
        attributes = {
            name: value for name, value in pool.attributes.items() if name in ("ceil_mode", "count_include_pad")
        }
        pooled = [ir.node(pool.op_type, [part], {**attributes, **flat}) for part in parts]
        return _joined(pool, [*nodes, *pooled], pooled, seen)


def _joined(pool: ir.Node, nodes: list[ir.Node], pooled: Sequence[ir.Node], seen: Sequence[Sequence[int]]) -> Change:
    """Over time what the pooling is over space; of one frame nothing."""
    results = []
    for frames in seen:
        inputs = [pooled[frame].outputs[0] for frame in frames]
        if len(inputs) > 1:
            nodes.append(ir.node(_OVER_TIME[pool.op_type], inputs))
            inputs = list(nodes[-1].outputs)
        results += inputs
    return Change([pool], [*nodes, *join_frames(results, pool)], static=frozenset({TIME}))
