"""Graphs for merge-duplicates."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node, weights


def twice_computed(
    op: str = "Add", second: str = "b a", *, constant: bool = False, **attributes: object
) -> onnx.ModelProto:
    """One result from (a, b), another from `second`, and their difference."""
    nodes = [
        node("Relu", "x", "a"),
        *([] if constant else [node("Tanh", "x", "b")]),
        node(op, "a b", "one", **attributes),
        node("Neg", "one", "n"),
        node(op, second, "two", **attributes),
        node("Sub", "n two", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 4]}, ["y"], {"b": weights(3, 1)} if constant else {})


def outputs(names: list[str]) -> onnx.ModelProto:
    nodes = [node("Relu", "x", "a"), node("Add", "a x", "one"), node("Add", "x a", "two"), node("Mul", "one two", "y")]
    return model(nodes, {"x": ["batch", 3]}, [*names, "y"])


SAMPLES: dict[str, Sample] = {
    **{op: lambda op=op: twice_computed(op) for op in ("Add", "Mul", "Max", "Min")},
    "same-order": lambda: twice_computed(second="a b"),
    "constant": lambda: twice_computed(constant=True),
    "first-is-an-output": lambda: outputs(["one"]),
    "second-is-an-output": lambda: outputs(["two"]),
}

DECLINES: dict[str, Sample] = {
    "two outputs of the graph would be one value": lambda: outputs(["one", "two"]),
}

LEAVES: dict[str, Sample] = {
    "other values": lambda: twice_computed(second="b x"),
    "one value twice": lambda: twice_computed(second="b b"),
    "an order that matters": lambda: twice_computed("Sub"),
    "another operator": lambda: model(
        [node("Relu", "x", "a"), node("Add", "a x", "s"), node("Mul", "x a", "p"), node("Sub", "s p", "y")],
        {"x": [2, 3]},
    ),
}
