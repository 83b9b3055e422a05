"""Graphs for mean-by-rows."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node


def mean(*size: int | str) -> onnx.ModelProto:
    nodes = [node("GlobalAveragePool", "x", "y")]
    return model(nodes, {"x": ["batch", 3, *size]}, ["y"])


def means(kernel: list[int], *size: int | str, **attributes: object) -> onnx.ModelProto:
    nodes = [node("AveragePool", "x", "y", kernel_shape=kernel, **attributes)]
    return model(nodes, {"x": ["batch", 3, *size]}, ["y"])


SAMPLES: dict[str, Sample] = {
    "image": lambda: mean(9, 14),
    "clip": lambda: mean(3, 9, 9),
    "windows": lambda: means([9, 8], 15, 13, strides=[3, 2]),
    "windows-of-clip": lambda: means([2, 6, 7], 4, 9, 7),
}

DECLINES: dict[str, Sample] = {
    "a size is open": lambda: mean("height", 64),
    "the windows are padded, or have holes": lambda: means([9, 9], 16, 16, pads=[1, 1, 1, 1]),
}

LEAVES: dict[str, Sample] = {
    "small": lambda: mean(7, 7),
    "one-row": lambda: mean(1, 128),
    "signal": lambda: mean(128),
    "small-windows": lambda: means([3, 3], 16, 16),
}
