"""The plot of docs/peers.md: bars for cnnc's speed, from the raw export's on; marks for its peers."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from tools.peers_page.compare import noise_of
from tools.peers_page.results import speed_of

__all__ = ["draw"]

_BARS = {"cnnc": "#9ecae1", "cnnc-cpu": "#3182bd"}
_TICKS = (0.1, 0.25, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8)
_SLOWEST = 0.22
# Of Okabe and Ito (Color Universal Design, 2008); the form says it too.
_MARKS = {
    "onnxscript": ("4", "#808791"),
    "onnxsim": ("x", "#a0683c"),
    "onnxslim": ("+", "#c4649a"),
    "openvino-f32": ("o", "#d55e00"),
    "openvino": ("s", "#b07d00"),
    "torch-compile": ("^", "#009e73"),
    "eager": ("v", "#7f6bb3"),
    "eager-channels-last": ("D", "#8a8a1f"),
}


def draw(results: Mapping[str, Any]) -> bytes:
    """An SVG, the same for the same results; its axis is logarithmic, since twice as fast undoes twice as slow."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    nets: Mapping[str, Any] = results["nets"]
    names = list(nets)[::-1]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cnnc", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(9, 1.3 + 0.25 * max(len(names), 4)), layout="constrained")
        noises = [noise_of(nets[name]) for name in names]
        widths = [noise - 1 / noise for noise in noises]
        lefts = [1 / noise for noise in noises]
        axes.barh(range(len(names)), widths, left=lefts, height=0.9, color="#dddddd", label="noise")
        for above, (ours, color) in zip((0.19, -0.19), _BARS.items(), strict=True):
            bars = [(y + above, speed - 1) for y, name in enumerate(names) if (speed := speed_of(nets[name], ours))]
            if bars:
                places, lengths = zip(*bars, strict=True)
                axes.barh(places, lengths, left=1, height=0.36, color=color, label=ours)
        for peer, (mark, color) in _MARKS.items():
            points = [(speed, y) for y, name in enumerate(names) if (speed := speed_of(nets[name], peer))]
            if points:
                style: dict[str, Any] = {"color": color}
                if mark in "osvD^":
                    style = {"facecolors": "none", "edgecolors": color}
                x, y = zip(*points, strict=True)
                axes.scatter(x, y, marker=mark, s=18, linewidths=0.9, label=peer, **style)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        axes.set_xlim(low := max(low, _SLOWEST), high)
        ticks = [tick for tick in _TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.grid(axis="x", linewidth=0.4)
        axes.set_xlabel(
            f"times as fast as the raw export on onnxruntime (what is below {_SLOWEST} stands in the table alone)"
        )
        figure.legend(loc="outside upper center", ncols=5, frameon=False)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None})
        plt.close(figure)
    return content.getvalue()
