"""Graphs for merge-transposes."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose
from tests.contract.graphs import model, node


def transposes(*permutations: Sequence[int] | None, rank: int = 4, around: bool = True) -> onnx.ModelProto:
    """Relu, Transposes (None: without `perm`), Neg; or the Transposes alone."""
    nodes, x = [], "x"
    if around:
        nodes, x = [node("Relu", "x", "r")], "r"
    for i, permutation in enumerate(permutations):
        output = "y" if not around and i == len(permutations) - 1 else f"t{i}"
        nodes.append(node("Transpose", x, output, **({} if permutation is None else {"perm": list(permutation)})))
        x = output
    if around:
        nodes.append(node("Neg", x, "y"))
    return model(nodes, {"x": ["batch", *range(2, rank + 1)]})


SAMPLES: dict[str, Sample] = {
    "composed": lambda: transposes([0, 2, 3, 1], [1, 0, 3, 2]),
    "cycle": lambda: transposes([1, 2, 3, 0], [1, 2, 3, 0]),
    "undone": lambda: transposes([0, 2, 3, 1], [0, 3, 1, 2]),
    "reversed-twice": lambda: transposes(None, None),
    "first-reversed": lambda: transposes(None, [0, 2, 1], rank=3),
    "second-reversed": lambda: transposes([0, 2, 1], None, rank=3),
    "alone": lambda: transposes([1, 2, 0], [0, 2, 1], rank=3, around=False),
    "undone-and-read": lambda: expose(transposes([0, 2, 3, 1], [0, 3, 1, 2]), "t0"),
}

DECLINES: dict[str, Sample] = {
    "another node reads the first Transpose": lambda: expose(transposes([0, 2, 3, 1], [1, 0, 3, 2]), "t0"),
    "it gives a graph output its name": lambda: transposes([0, 2, 3, 1], [0, 3, 1, 2], around=False),
}

LEAVES: dict[str, Sample] = {
    "one": lambda: transposes([0, 2, 3, 1]),
    "something between": lambda: model(
        [node("Transpose", "x", "t"), node("Relu", "t", "r"), node("Transpose", "r", "y")], {"x": [2, 3]}
    ),
}
