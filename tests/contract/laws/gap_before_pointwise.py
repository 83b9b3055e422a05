"""Graphs for gap-before-pointwise."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, set_attribute
from tests.contract.graphs import model, node, weights


def conv_gap(
    rank: int = 2, bias: bool = True, kernel: int = 1, groups: int = 1, open_size: bool = False
) -> onnx.ModelProto:
    constants = {"w": weights(6, 8 // groups, *(kernel,) * rank), **({"b": weights(6)} if bias else {})}
    nodes = [
        node("Conv", " ".join(["x", *constants]), "c", group=groups),
        node("GlobalAveragePool", "c", "p"),
        node("Neg", "p", "y"),
    ]
    size = [f"size{axis}" if open_size else 5 for axis in range(rank)]
    return model(nodes, {"x": ["batch", 8, *size]}, ["y"], constants)


def through_an_activation() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("GlobalAveragePool", "r", "y")]
    return model(nodes, {"x": [1, 8, 6, 6]}, ["y"], {"w": weights(4, 8, 1, 1)})


SAMPLES: dict[str, Sample] = {
    "1d": lambda: conv_gap(1),
    "2d": conv_gap,
    "3d": lambda: conv_gap(3),
    "no-bias": lambda: conv_gap(bias=False),
    "grouped": lambda: conv_gap(groups=2),
    "open-size": lambda: conv_gap(open_size=True),
}

DECLINES: dict[str, Sample] = {
    "another node reads the convolution": lambda: expose(conv_gap(), "c"),
    "has a stride or padding": lambda: set_attribute(conv_gap(), 0, strides=[2, 2]),
    "a stride or padding": lambda: set_attribute(conv_gap(), 0, pads=[1, 1, 1, 1]),
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": through_an_activation,
    "the kernel is larger": lambda: conv_gap(kernel=3),
}
