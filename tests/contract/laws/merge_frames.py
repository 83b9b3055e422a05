"""Graphs for merge-frames."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node

_TIME = {"t": np.array([2]), "ones": np.ones(2, np.int64), "halves": np.array([4, 4])}


def handed_on(axis: int = 2, sizes: str = "ones", *, squeezed: bool = True, raised: bool = True) -> onnx.ModelProto:
    """Two frames, or something else, joined and taken apart again."""
    nodes = [
        node("Relu", "a", "f"),
        node("Unsqueeze", "f t", "p") if raised else node("Identity", "c", "p"),
        node("Unsqueeze", "b t", "q"),
        node("Concat", "p q", "clip", axis=axis),
        node("Split", "clip " + sizes, "r s", axis=axis),
        *([node("Squeeze", "r t", "u"), node("Squeeze", "s t", "v")] if squeezed else []),
        node("Neg", "u" if squeezed else "r", "y"),
        node("Abs", "v" if squeezed else "s", "z"),
    ]
    inputs: dict[str, list[int | str]] = {name: ["batch", 2, 3, 4] for name in "ab"}
    if not raised:
        inputs["c"] = ["batch", 2, 1, 3, 4]
        del inputs["a"]
        nodes = nodes[1:]
    return model(nodes, inputs, ["y", "z"], _TIME)


def one_frame_twice() -> onnx.ModelProto:
    nodes = [
        node("Unsqueeze", "a t", "p"),
        node("Concat", "p p", "clip", axis=2),
        node("Split", "clip ones", "r s", axis=2),
        node("Squeeze", "r t", "u"),
        node("Squeeze", "s t", "v"),
        node("Sub", "u v", "d"),
        node("Add", "d a", "y"),
    ]
    return model(nodes, {"a": ["batch", 2, 3, 4]}, ["y"], _TIME)


SAMPLES: dict[str, Sample] = {"two-frames": handed_on, "one-frame-twice": one_frame_twice}

DECLINES: dict[str, Sample] = {"a piece is read as something else": lambda: handed_on(squeezed=False)}

LEAVES: dict[str, Sample] = {
    "another-axis": lambda: handed_on(axis=4, sizes="halves", squeezed=False),
    "not-made-of-frames": lambda: handed_on(raised=False),
}
