"""Graphs for merge-reshapes."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose
from tests.contract.graphs import model, node

_SHAPE = ["batch", 4, 3, 2]


def views(*steps: str, shape: list[int | str] | None = None, around: bool = True, opset: int = 20) -> onnx.ModelProto:
    """Relu, views, Neg; or the views alone: "Reshape 0 -1", "Flatten 2", "Squeeze 1", "Unsqueeze 0"."""
    nodes, constants, x = [], {}, "x"
    if around:
        nodes, x = [node("Relu", "x", "r")], "r"
    for i, step in enumerate(steps):
        op, *words = step.split()
        output = "y" if not around and i == len(steps) - 1 else f"v{i}"
        if op == "Flatten":
            nodes.append(node(op, x, output, axis=int(words[0])))
        else:
            constants[f"k{i}"] = np.array(words, np.int64)
            nodes.append(node(op, f"{x} k{i}", output))
        x = output
    if around:
        nodes.append(node("Neg", x, "y"))
    return model(nodes, {"x": shape or _SHAPE}, ["y"], constants, opset=opset)


def overridable_shape(name: str) -> onnx.ModelProto:
    proto = views("Reshape 0 4 6", "Reshape 0 2 12")
    proto.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [3]))
    return proto


def of_unknown_rank() -> onnx.ModelProto:
    """The axes of the Unsqueeze are computed, so that nobody knows what its rank is."""
    nodes = [node("Flatten", "x", "f", axis=1), node("Unsqueeze", "f axes", "u"), node("Neg", "u", "y")]
    proto = model(nodes, {"x": _SHAPE})
    proto.graph.input.append(onnx.helper.make_tensor_value_info("axes", onnx.TensorProto.INT64, ["n"]))
    return proto


SAMPLES: dict[str, Sample] = {
    "reshapes": lambda: views("Reshape 0 4 6", "Reshape 0 2 12"),
    "open-batch-as-minus-one": lambda: views("Reshape -1 24", "Reshape -1 6 4"),
    "copied-from-the-first": lambda: views("Reshape 0 8 3", "Reshape 0 0 1 3"),
    "batch-moves": lambda: views("Reshape 0 4 6", "Reshape 4 -1 6"),
    "batch-is-merged": lambda: views("Reshape 0 4 6", "Reshape -1 3"),
    "undone": lambda: views("Reshape 0 24", "Reshape 0 4 3 2"),
    "undone-and-read": lambda: expose(views("Reshape 0 24", "Reshape 0 4 3 2"), "v0"),
    "flatten-of-reshape": lambda: views("Reshape 0 4 6", "Flatten 1"),
    "reshape-of-flatten": lambda: views("Flatten 1", "Reshape -1 2 12"),
    "reshape-to-rows": lambda: views("Flatten 2", "Reshape -1 24"),
    "flatten-of-squeeze": lambda: views("Squeeze 3", "Flatten 1", shape=["batch", 5, 3, 1]),
    "flatten-elsewhere": lambda: views("Reshape 0 4 6", "Flatten 2"),
    "squeeze-of-unsqueeze": lambda: views("Unsqueeze 2", "Squeeze 2"),
    "another-squeeze": lambda: views("Unsqueeze 0", "Squeeze 2", shape=["batch", 1, 5]),
    "open-axes-copied": lambda: views("Unsqueeze 0", "Squeeze 2", shape=["n", 1, "m", "k"]),
    "unsqueezes": lambda: views("Unsqueeze 0", "Unsqueeze 1 2"),
    "alone": lambda: views("Reshape 0 24", "Reshape 0 6 4", around=False),
    "fixed": lambda: views("Reshape 8 3", "Reshape 2 12", shape=[2, 4, 3]),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Reshape": lambda: expose(views("Reshape 0 4 6", "Reshape 0 2 12"), "v0"),
    "another node reads the Flatten": lambda: expose(views("Flatten 1", "Reshape 0 2 12"), "v0"),
    "a shape may be overridden": lambda: overridable_shape("k0"),
    "may be overridden by the caller": lambda: overridable_shape("k1"),
    "the rank is unknown": of_unknown_rank,
    "two sizes of the result are open": lambda: views("Unsqueeze 0", "Squeeze 3", shape=["n", "m", 1]),
    "the result is empty": lambda: views("Reshape 0 12", "Reshape 0 3 4", shape=[0, 3, 4, 1]),
    "it gives a graph output its name": lambda: views("Reshape 0 24", "Reshape 0 4 3 2", around=False),
}

LEAVES: dict[str, Sample] = {
    "one": lambda: views("Reshape 0 24"),
    "something between": lambda: model(
        [node("Flatten", "x", "f"), node("Relu", "f", "r"), node("Flatten", "r", "y")], {"x": [2, 3, 4]}
    ),
}
