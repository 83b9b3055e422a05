"""Graphs for merge-serial."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def serial(
    first: int = 3,
    second: int = 1,
    rank: int = 2,
    *,
    bias: str = "bc",
    group: int = 1,
    middle: int = 12,
    inner: dict[str, Any] | None = None,
    outer: dict[str, Any] | None = None,
    open_size: bool = False,
) -> onnx.ModelProto:
    """4 channels, `middle`, 2: kernels `first` and `second`, attributes of each, and which of them have a bias."""
    constants = {
        "w": weights(middle, 4 // group, *[first] * rank),
        "v": weights(2, middle // group, *[second] * rank),
        **({"b": weights(middle)} if "b" in bias else {}),
        **({"c": weights(2)} if "c" in bias else {}),
    }
    nodes = [
        node("Conv", "x w b" if "b" in bias else "x w", "h", group=group, **(inner or {})),
        node("Conv", "h v c" if "c" in bias else "h v", "y", group=group, **(outer or {})),
    ]
    sizes = ("height", "width", "depth") if open_size else (10, 9, 8)
    return model(nodes, {"x": ["batch", 4, *sizes[:rank]]}, ["y"], constants)


def depthwise() -> onnx.ModelProto:
    """Two depthwise convolutions: 3x1 with stride 2, then 1x3."""
    constants = {"w": weights(4, 1, 3, 1), "v": weights(4, 1, 1, 2), "b": weights(4)}
    nodes = [
        node("Conv", "x w b", "h", group=4, pads=[1, 0, 1, 0]),
        node("Conv", "h v", "y", group=4, strides=[2, 1]),
    ]
    return model(nodes, {"x": ["batch", 4, 9, 9]}, ["y"], constants)


def depthwise_then_pointwise() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "h", group=4), node("Conv", "h v", "y")]
    return model(nodes, {"x": ["batch", 4, 9, 9]}, ["y"], {"w": weights(4, 1, 3, 3), "v": weights(2, 4, 1, 1)})


def head() -> onnx.ModelProto:
    """The second sees the whole map: a 3x3 of 9 positions, then one."""
    constants = {"w": weights(8, 4, 1, 1), "b": weights(8), "v": weights(20, 8, 3, 3)}
    nodes = [node("Conv", "x w b", "h"), node("Conv", "h v", "y")]
    return model(nodes, {"x": ["batch", 4, 3, 3]}, ["y"], constants)


def large() -> onnx.ModelProto:
    constants = {"w": np.full((12, 4, 1, 1), 3e2, np.float32), "v": np.full((2, 12, 1, 1), 3e2, np.float32)}
    return model([node("Conv", "x w", "h"), node("Conv", "h v", "y")], {"x": [1, 4, 5, 5]}, ["y"], constants)


def across_an_activation() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "h"), node("Relu", "h", "r"), node("Conv", "r v", "y")]
    return model(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"w": weights(12, 4, 1, 1), "v": weights(2, 12, 1, 1)})


def after_a_transposed() -> onnx.ModelProto:
    nodes = [node("ConvTranspose", "x w", "h"), node("Conv", "h v", "y")]
    return model(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"w": weights(4, 12, 1, 1), "v": weights(2, 12, 1, 1)})


PADS = {"pads": [1, 1, 1, 1]}
STRIDED = {"strides": [2, 2]}

SAMPLES: dict[str, Sample] = {
    "1d": lambda: serial(rank=1),
    "2d": serial,
    "3d": lambda: serial(rank=3),
    "no-bias": lambda: serial(bias=""),
    "first-bias": lambda: serial(bias="b"),
    "grouped": lambda: serial(group=2),
    "first-padded": lambda: serial(inner={"pads": [1, 0, 2, 1]}),
    "first-strided": lambda: serial(inner=STRIDED | PADS),
    "first-dilated": lambda: serial(inner={"dilations": [2, 3]}),
    "second-strided": lambda: serial(outer=STRIDED),
    "both-strided": lambda: serial(inner=STRIDED, outer=STRIDED),
    "valid": lambda: serial(inner={"auto_pad": "VALID"}, outer={"auto_pad": "VALID"}),
    "pointwise-first": lambda: serial(1, 3),
    "pointwise-first-second-padded": lambda: serial(1, 3, bias="c", outer=PADS),
    "pointwise-first-second-padded-strided-dilated": lambda: serial(
        1, 3, bias="", outer={"pads": [0, 2, 1, 2], "strides": [2, 1], "dilations": [1, 2]}
    ),
    "both-pointwise": lambda: serial(1, 1, rank=3),
    "two-kernels": lambda: serial(2, 2, middle=40),
    "two-kernels-strided": lambda: serial(2, 2, middle=40, inner=STRIDED),
    "two-kernels-dilated": lambda: serial(2, 2, middle=60, inner={"dilations": [2, 2]}),
    "pointwise-strided-first": lambda: serial(1, 3, inner=STRIDED),
    "open-size": lambda: serial(1, 1, open_size=True),
    "depthwise": depthwise,
    "head": head,
}

DECLINES: dict[str, Sample] = {
    "another node reads the Conv": lambda: expose(serial(), "h"),
    "one Conv of kernel [3, 3] takes no fewer MACs": lambda: serial(1, 3, middle=1),
    "kernel [3, 3] takes no fewer MACs": lambda: serial(1, 3, middle=1, open_size=True),
    "the second Conv pads": lambda: serial(3, 1, bias="", outer=PADS),
    "second Conv pads what the first computes": lambda: serial(1, 3, bias="b", outer=PADS),
    "Conv pads what the first": lambda: serial(1, 3, bias="", inner=STRIDED, outer=PADS),
    "pads what the first computes": lambda: serial(1, 3, bias="", inner=PADS, outer=PADS),
    "auto_pad sets the pads": lambda: serial(inner={"auto_pad": "SAME_UPPER"}),
    "auto_pad sets": lambda: serial(1, 3, bias="", outer={"auto_pad": "SAME_LOWER"}),
    "the groups differ: 4 and 1": depthwise_then_pointwise,
    "the weight or bias is not constant": lambda: overridable(serial(), "v"),
    "weight or bias is not constant": lambda: overridable(serial(), "b"),
    "does not fit float16": lambda: to_float16(large()),
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": across_an_activation,
    "ConvTranspose": after_a_transposed,
}
