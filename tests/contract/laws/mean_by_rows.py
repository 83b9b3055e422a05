"""Graphs for mean-by-rows."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node


def mean(*size: int | str) -> onnx.ModelProto:
    nodes = [node("GlobalAveragePool", "x", "y")]
    return model(nodes, {"x": ["batch", 3, *size]}, ["y"])


SAMPLES: dict[str, Sample] = {"image": lambda: mean(9, 14), "clip": lambda: mean(3, 9, 9)}

DECLINES: dict[str, Sample] = {"a size is open": lambda: mean("height", 64)}

LEAVES: dict[str, Sample] = {
    "small": lambda: mean(7, 7),
    "one-row": lambda: mean(1, 128),
    "signal": lambda: mean(128),
}
