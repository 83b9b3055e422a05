"""Graphs for recognise-activations."""

from __future__ import annotations

import math

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node

_NUMBERS = {
    "two": 2.0,
    "three": 3.0,
    "six": 6.0,
    "sixth": 1 / 6,
    "zero": 0.0,
    "one": 1.0,
    "half": 0.5,
    "root": math.sqrt(2),
    "inverse": math.sqrt(0.5),
    "tall": np.full((1, 1, 1, 1, 1), 6.0),
}


def spelled(*lines: str, opset: int = 20) -> onnx.ModelProto:
    """`"c = Clip a zero six"`: nodes from x to y, which read the numbers by their names."""
    nodes = []
    for line in lines:
        output, _, op, *inputs = line.split()
        nodes.append(node(op, " ".join(inputs), output))
    read = {name for one in nodes for name in one.input}
    constants = {name: np.array(value, np.float32) for name, value in _NUMBERS.items() if name in read}
    return model(nodes, {"x": ["batch", 3, 5, 5]}, ["y"], constants, opset=opset)


def by_hard_sigmoid(inputs: str = "h x", opset: int = 20, **attributes: float) -> onnx.ModelProto:
    nodes = [node("HardSigmoid", "x", "h", **attributes), node("Mul", inputs, "y")]
    return model(nodes, {"x": ["batch", 3, 5, 5]}, opset=opset)


def by_another_gate() -> onnx.ModelProto:
    """The gate of a squeeze-and-excitation block is another value's."""
    nodes = [
        node("GlobalAveragePool", "x", "g"),
        node("HardSigmoid", "g", "h", alpha=1 / 6, beta=0.5),
        node("Mul", "x h", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 5, 5]})


_GATED = ("a = Add x three", "c = Clip a zero six", "m = Mul x c")
_ERF = ("d = Div x root", "e = Erf d")

SAMPLES: dict[str, Sample] = {
    "hard-sigmoid": lambda: by_hard_sigmoid(alpha=1 / 6, beta=0.5),
    "hard-sigmoid-after": lambda: by_hard_sigmoid("x h", alpha=1 / 6),
    "relu6-over-six": lambda: spelled(*_GATED, "y = Div m six"),
    "relu6-times-a-sixth": lambda: spelled("a = Add three x", "c = Clip a zero six", "m = Mul c x", "y = Mul m sixth"),
    "gate-over-six": lambda: spelled(*_GATED[:2], "g = Div c six", "y = Mul x g"),
    "x-over-six": lambda: spelled(*_GATED[:2], "g = Div x six", "y = Mul c g"),
    "clip-to-one": lambda: spelled("d = Div x six", "a = Add d half", "c = Clip a zero one", "y = Mul c x"),
    "hard-sigmoid-by-hand": lambda: spelled(
        "a = Add x three", "d = Mul a sixth", "c = Clip d zero one", "y = Mul c x", opset=14
    ),
    "of-a-biased-value": lambda: spelled(
        "r = Add x two", "a = Add r three", "c = Clip a zero six", "m = Mul r c", "y = Div m six"
    ),
    "gelu-half-first": lambda: spelled(*_ERF, "s = Add e one", "h = Mul x half", "y = Mul h s"),
    "gelu-half-last": lambda: spelled(*_ERF, "s = Add one e", "m = Mul x s", "y = Mul m half"),
    "gelu-by-inverse": lambda: spelled(
        "d = Mul x inverse", "e = Erf d", "s = Add e one", "m = Mul s x", "y = Div m two"
    ),
    "gelu-half-of-the-gate": lambda: spelled(*_ERF, "s = Add e one", "g = Mul s half", "y = Mul x g"),
    "gelu-half-of-erf": lambda: spelled(*_ERF, "s = Mul e half", "g = Add s half", "y = Mul x g"),
}

DECLINES: dict[str, Sample] = {
    "another node reads a step of the HardSwish": lambda: expose(by_hard_sigmoid(alpha=1 / 6), "h"),
    "another node reads a step of the Gelu": lambda: expose(
        spelled(*_ERF, "s = Add e one", "m = Mul x s", "y = Mul m half"), "e"
    ),
    "HardSwish is an operator from opset 14 on": lambda: by_hard_sigmoid(alpha=1 / 6, opset=13),
    "Gelu is an operator from opset 20 on": lambda: spelled(
        *_ERF, "s = Add e one", "m = Mul x s", "y = Mul m half", opset=19
    ),
    "the result is not known to have the shape of x": lambda: spelled(*_GATED, "y = Div m tall"),
}

LEAVES: dict[str, Sample] = {
    "the default slope of HardSigmoid": by_hard_sigmoid,
    "another offset of HardSigmoid": lambda: by_hard_sigmoid(alpha=1 / 6, beta=0.4),
    "x*Sigmoid(x)": lambda: spelled("s = Sigmoid x", "y = Mul x s"),
    "x + 2": lambda: spelled("a = Add x two", *_GATED[1:], "y = Div m six"),
    "clip to 0..3": lambda: spelled(_GATED[0], "c = Clip a zero three", _GATED[2], "y = Div m six"),
    "clip to 1..6": lambda: spelled(_GATED[0], "c = Clip a one six", _GATED[2], "y = Div m six"),
    "over three": lambda: spelled(*_GATED, "y = Div m three"),
    "not divided": lambda: spelled(*_GATED[:2], "y = Mul x c"),
    "x - 3": lambda: spelled("a = Sub x three", *_GATED[1:], "y = Div m six"),
    "3 - x": lambda: spelled("a = Sub three x", *_GATED[1:], "y = Div m six"),
    "another gate": by_another_gate,
    "an overridable number": lambda: overridable(spelled(*_GATED, "y = Div m six"), "six"),
    "Erf of x": lambda: spelled("e = Erf x", "s = Add e one", "m = Mul x s", "y = Mul m half"),
    "1 - Erf": lambda: spelled(*_ERF, "s = Sub one e", "m = Mul x s", "y = Mul m half"),
    "Erf without half": lambda: spelled(*_ERF, "s = Add e one", "y = Mul x s"),
    "x*(Erf + 1) + 2": lambda: spelled(*_ERF, "s = Add e one", "m = Mul x s", "y = Add m two"),
}
