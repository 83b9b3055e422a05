"""Graphs for constant-reshape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import overridable
from tests.contract.graphs import model, node


def flatten(opset: int = 20) -> onnx.ModelProto:
    """What `torch.flatten(x, 1)` exports to with a dynamic batch."""
    nodes = [
        node("Shape", "x", "s", start=0, end=1),
        node("Concat", "s rest", "target", axis=0),
        node("Reshape", "x target", "f"),
        node("Neg", "f", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 2, 2]}, ["y"], {"rest": np.array([12])}, opset=opset)


def reshape_to(shape: list[int | str], target: str, source: Sequence[int | str] = ("batch", "n")) -> onnx.ModelProto:
    """Reshape of x to the computed shape of another input."""
    nodes = [node("Shape", target, "s"), node("Reshape", "x s", "y")]
    return model(nodes, {"x": source, "z": shape}, ["y"])


def unknown_rank() -> onnx.ModelProto:
    proto = reshape_to(["batch", 4], "z")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def chosen_by_the_caller() -> onnx.ModelProto:
    return model([node("Reshape", "x s", "y")], {"x": [2, 6]}, ["y"], {"s": np.array([3, 4])})


SAMPLES: dict[str, Sample] = {"flatten": flatten}

DECLINES: dict[str, Sample] = {
    "2 axes of the result are open": lambda: reshape_to(["n", "batch"], "z"),
    # a 0 copies the axis: the source must have one there
    "the result is empty": lambda: reshape_to(["batch", 0], "z", source=("batch", 0)),
    "the rank of the result is unknown": unknown_rank,
}

LEAVES: dict[str, Sample] = {
    "a constant": chosen_by_the_caller,
    "a shape that a caller may override": lambda: overridable(chosen_by_the_caller(), "s"),
}
