"""Graphs for merge-clips."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node


def clips(*bounds: tuple[float | None, float | None] | str, opset: int = 20) -> onnx.ModelProto:
    """A chain of Clips to those bounds, Relus ("Relu"), and Max or Min with a number ("Max -1", "1 Min")."""
    nodes, constants, x = [], {}, "x"
    for i, bound in enumerate(bounds):
        output = "y" if i == len(bounds) - 1 else f"c{i}"
        if isinstance(bound, str):
            words = bound.split()
            op = next(word for word in words if word.isalpha())
            inputs = [x if word is op else f"k{i}" for word in words]
            constants |= {f"k{i}": np.array([word], np.float32) for word in words if word is not op}
            nodes.append(node(op, " ".join(inputs), output))
        elif opset < 11:
            limits = {key: float(value) for key, value in zip(("min", "max"), bound, strict=True) if value is not None}
            nodes.append(node("Clip", x, output, **limits))
        else:
            names = ["_" if value is None else f"{end}{i}" for end, value in zip(("low", "high"), bound, strict=True)]
            constants |= {
                name: np.array(value, np.float32) for name, value in zip(names, bound, strict=True) if value is not None
            }
            nodes.append(node("Clip", " ".join([x, *names]), output))
        x = output
    return model(nodes, {"x": ["batch", 3, 4]}, ["y"], constants, opset=opset)


def two_results() -> onnx.ModelProto:
    nodes = [node("Relu", "x", "r"), node("Relu", "z", "s"), node("Max", "r s", "y")]
    return model(nodes, {"x": [2, 3], "z": [2, 3]})


def broadcasting() -> onnx.ModelProto:
    nodes = [node("Relu", "x", "r"), node("Max", "r k", "y")]
    return model(nodes, {"x": [1, 3]}, ["y"], {"k": np.zeros((1, 1, 1), np.float32)})


def per_channel() -> onnx.ModelProto:
    nodes = [node("Relu", "x", "r"), node("Max", "r k", "y")]
    return model(nodes, {"x": [2, 3]}, ["y"], {"k": np.array([1, 2, 3], np.float32)})


def whole_numbers() -> onnx.ModelProto:
    nodes = [node("Max", "x k", "c"), node("Min", "c m", "y")]
    constants = {"k": np.array([1], np.int32), "m": np.array([5], np.int32)}
    return model(nodes, {"x": [2, 3]}, ["y"], constants, dtype=TensorProto.INT32)


SAMPLES: dict[str, Sample] = {
    "relu-relu": lambda: clips("Relu", "Relu"),
    "relu6-of-relu": lambda: clips("Relu", (0, 6)),
    "relu-of-relu6": lambda: clips((0, 6), "Relu"),
    "overlapping": lambda: clips((-1, 0.5), (-0.25, 2)),
    "nested": lambda: clips((-0.5, 0.5), (-2, 2)),
    "disjoint-above": lambda: clips((-3, -1), "Relu"),
    "disjoint-below": lambda: clips((1, 2), (-2, -1)),
    "first-min-above-max": lambda: clips((2, -0.5), (-1, 1)),
    "second-min-above-max": lambda: clips((-1, 1), (2, 0.5)),
    "both-min-above-max": lambda: clips((2, 1), (4, 3)),
    "open-below": lambda: clips((None, 1), (None, 0.5)),
    "open-above": lambda: clips((-1, None), (-0.5, None)),
    "opposite-ends": lambda: clips((-1, None), (None, 1)),
    "becomes-relu": lambda: clips((-1, None), "Relu"),
    "attributes": lambda: clips((-1, 1), (-0.5, 2), opset=10),
    "attributes-open": lambda: clips((None, 1), "Relu", opset=10),
    "max-then-min": lambda: clips("Max -0.5", "Min 0.5"),
    "number-first": lambda: clips("0.5 Min", "-0.5 Max"),
    "max-then-relu": lambda: clips("Max 0.5", "Relu"),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Relu": lambda: expose(clips("Relu", (0, 6)), "c0"),
    "a bound is not constant": lambda: overridable(clips((-1, 1), (-0.5, 2)), "low0"),
    "a bound is not": lambda: overridable(clips((-1, 1), (-0.5, 2)), "high1"),
    "bound is not constant": lambda: overridable(clips("Relu", "Min 2"), "k1"),
    "not a floating one": whole_numbers,
}

LEAVES: dict[str, Sample] = {
    "one clip": lambda: clips((0, 6)),
    "a maximum of two results": two_results,
    "a number of a higher rank": broadcasting,
    "a bound per channel": per_channel,
}
