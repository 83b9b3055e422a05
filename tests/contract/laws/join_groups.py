"""Graphs for join-groups."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import overridable
from tests.contract.graphs import model, node, weights


def grouped(
    group: int = 4,
    width: int = 8,
    per_group: int | None = None,
    *,
    bias: bool = True,
    kernel: tuple[int, ...] = (3, 3),
    **attributes: object,
) -> onnx.ModelProto:
    """A convolution in `group` groups that read `width` channels each and make `per_group`, and its activation."""
    filters = group * (per_group or width)
    constants = {"w": weights(filters, width, *kernel)} | ({"b": weights(filters)} if bias else {})
    nodes = [node("Conv", "x w b" if bias else "x w", "c", group=group, **attributes), node("Relu", "c", "y")]
    return model(nodes, {"x": ["batch", group * width, *(7 for _ in kernel)]}, ["y"], constants)


def in_halves() -> onnx.ModelProto:
    constants = {"w": weights(32, 8, 3, 3).astype("float16")}
    nodes = [node("Conv", "x w", "y", group=4)]
    return model(nodes, {"x": ["batch", 32, 7, 7]}, ["y"], constants, dtype=TensorProto.FLOAT16)


SAMPLES: dict[str, Sample] = {
    "of-eight": grouped,
    "of-four": lambda: grouped(8, 4),
    "more-filters-than-channels": lambda: grouped(4, 8, 16),
    "fewer-filters-than-channels": lambda: grouped(8, 8, 4),
    "no-bias": lambda: grouped(bias=False),
    "stride-and-pads": lambda: grouped(strides=[2, 2], pads=[1] * 4, dilations=[2, 2]),
    "pointwise": lambda: grouped(kernel=(1, 1)),
}

DECLINES: dict[str, Sample] = {
    "the weight is not constant": lambda: overridable(grouped(), "w"),
    "no up to 4 of 5 groups of 8 channels": lambda: grouped(5),
    "no up to 4 of 2 groups of 8 channels": lambda: grouped(2),
    "no up to 4 of 16 groups of 2 channels": lambda: grouped(16, 2),
}

LEAVES: dict[str, Sample] = {
    "one-group": lambda: grouped(1, 8),
    "whole-blocks": lambda: grouped(2, 16),
    "depthwise": lambda: grouped(6, 1),
    "clips": lambda: grouped(kernel=(1, 3, 3)),
    "another-type": in_halves,
}
