"""Graphs for concat-to-conv."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, to_float16
from tests.contract.graphs import model, node, weights


def residual(
    sizes: Sequence[int] = (8, 12), *, swapped: bool = False, relu: bool = False, before: str = "", size: int = 6
) -> onnx.ModelProto:
    """Convolutions' results joined, and another's added; `before` of the first part is done outside of blocks."""
    channels = sum(sizes)
    constants = {f"w{index}": weights(n, 4, 1, 1) for index, n in enumerate(sizes)} | {"v": weights(channels, 4, 1, 1)}
    nodes = [node("Conv", f"x w{index}", f"h{index}") for index in range(len(sizes))]
    names = [f"h{index}" for index in range(len(sizes))]
    if before:
        nodes.append(node(before, "h0", "g"))
        names[0] = "g"
    nodes += [
        node("Concat", " ".join(names), "c", axis=1),
        node("Conv", "z v", "s"),
        node("Add", "s c" if swapped else "c s", "a" if relu else "y"),
        *([node("Relu", "a", "y")] if relu else []),
    ]
    return model(nodes, {"x": ["batch", 4, 6, 6], "z": ["batch", 4, size, size]}, ["y"], constants)


def of_inputs() -> onnx.ModelProto:
    nodes = [node("Neg", "x", "c"), node("Add", "c z", "y")]
    return model(nodes, {"x": ["batch", 8, 6, 6], "z": ["batch", 8, 6, 6]}, ["y"])


SAMPLES: dict[str, Sample] = {
    "two": residual,
    "three": lambda: residual((4, 8, 16)),
    "swapped": lambda: residual(swapped=True),
    "relu": lambda: residual(relu=True),
}

DECLINES: dict[str, Sample] = {
    "another node reads what is joined": lambda: expose(residual(), "c"),
    "needs float32": lambda: to_float16(residual()),
    "do not fit the engine's blocked layout": lambda: residual((8, 6)),
    "each part is whole blocks": lambda: residual((16, 32)),
    "132 channels are too many": lambda: residual((100, 32)),
    "does not have exactly the shape": lambda: residual(size=1),
    "is not in the engine's blocked layout": lambda: residual(before="Neg"),
}

LEAVES: dict[str, Sample] = {"nothing-joined": of_inputs}
