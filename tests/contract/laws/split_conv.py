"""Graphs for split-conv."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights


def halves(
    sizes: Sequence[int] = (4, 8), f: str | None = "LeakyRelu", *, group: int = 1, bias: bool = True, axis: int = 1
) -> onnx.ModelProto:
    """A convolution and its activation, in two parts that go different ways."""
    filters = sum(sizes) if axis == 1 else 8
    constants = {"w": weights(filters, 8 // group, 3, 3), "sizes": np.array(sizes)}
    if bias:
        constants["b"] = weights(filters)
    nodes = [
        node("Conv", "x w b" if bias else "x w", "c", group=group, pads=[1] * 4),
        *([node(f, "c", "f")] if f else []),
        node("Split", "f sizes" if f else "c sizes", "p q", axis=axis),
        node("Neg", "p", "y"),
        node("Abs", "q", "z"),
    ]
    return model(nodes, {"x": ["batch", 8, 6, 6]}, ["y", "z"], constants)


def of_an_input() -> onnx.ModelProto:
    nodes = [node("Split", "x sizes", "y z", axis=1)]
    return model(nodes, {"x": ["batch", 8, 6, 6]}, ["y", "z"], {"sizes": np.array([4, 4])})


SAMPLES: dict[str, Sample] = {
    "leaky-relu": halves,
    "relu": lambda: halves(f="Relu"),
    "nothing-between": lambda: halves(f=None),
    "no-bias": lambda: halves(bias=False),
}

DECLINES: dict[str, Sample] = {
    "another node reads what is split": lambda: expose(halves(), "f"),
    "another node reads what": lambda: expose(halves(), "c"),
    "the convolution is grouped": lambda: halves(group=2),
    "the weight or bias is not constant": lambda: overridable(halves(), "w"),
    "the weight or bias is not": lambda: overridable(halves(), "b"),
    "do not fit the engine's blocked layout": lambda: halves((3, 9)),
}

LEAVES: dict[str, Sample] = {"along-height": lambda: halves((2, 4), axis=2), "an-input": of_an_input}
