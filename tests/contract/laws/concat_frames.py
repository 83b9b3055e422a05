"""Graphs for concat-frames."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node


def channels(other: str = "join", axis: int = 1) -> onnx.ModelProto:
    """Two clips put together: one of two frames, and another such, the same, or an input of the graph."""
    nodes = [
        node("Unsqueeze", "a t", "p"),
        node("Unsqueeze", "b t", "q"),
        node("Concat", "p q", "c", axis=2),
        *([node("Concat", "q p", "d", axis=2)] if other == "join" else []),
        node("Concat", {"join": "c d", "same": "c c", "clip": "c x"}[other], "y", axis=axis),
    ]
    inputs: dict[str, list[int | str]] = {name: ["batch", 2, 3, 4] for name in "ab"}
    if other == "clip":
        inputs["x"] = ["batch", 2, 2, 3, 4]
    return model(nodes, inputs, ["y"], {"t": np.array([2])})


SAMPLES: dict[str, Sample] = {"two-clips": channels, "one-clip-twice": lambda: channels("same")}

DECLINES: dict[str, Sample] = {"does not come in frames": lambda: channels("clip")}

LEAVES: dict[str, Sample] = {"along-height": lambda: channels(axis=3), "along-time": lambda: channels(axis=2)}
