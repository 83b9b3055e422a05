"""Graphs for drop-noops."""

from __future__ import annotations

import numpy as np

from tests.contract.blocks import Sample, noop
from tests.contract.graphs import model, node


def _f(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float32)


SAMPLES: dict[str, Sample] = {
    "mul-one": noop("Mul", "r k", {"k": _f(1, 1)}),
    "mul-one-left": noop("Mul", "k r", {"k": _f(1, 3, 1, 1)}),
    "add-negative-zero": noop("Add", "r k", {"k": _f(-0.0, 1)}),
    "sub-zero": noop("Sub", "r k", {"k": _f(0, 1)}),
    "div-one": noop("Div", "r k", {"k": _f(1)}),
    "pow-one": noop("Pow", "r k", {"k": _f(1)}),
    "pad-zero": noop("Pad", "r k", {"k": np.zeros(8, np.int64)}),
    "max-pool-1x1": noop("MaxPool", kernel_shape=[1, 1], strides=[1, 1]),
    "average-pool-1x1": noop("AveragePool", kernel_shape=[1, 1]),
    "concat-of-one": noop("Concat", axis=1),
    "sum-of-one": noop("Sum"),
    "identity": noop("Identity"),
    "dropout": noop("Dropout"),
    "cast-same": noop("Cast", to=1),
    "cast-like-same": noop("CastLike", "r x"),
    "clip-open": noop("Clip"),
    "clip-infinite": noop("Clip", "r low high", {"low": _f(-np.inf), "high": _f(np.inf)}),
    "transpose-identity": noop("Transpose", perm=[0, 1, 2, 3]),
    "reshape-same": noop("Reshape", "r k", {"k": np.array([0, 3, 4, 4])}),
    "resize-by-one": noop("Resize", "r _ k", {"k": _f(1, 4)}, mode="linear"),
    "slice-all": noop("Slice", "r s e a", {"s": np.array([0]), "e": np.array([2**62]), "a": np.array([1])}),
}

DECLINES: dict[str, Sample] = {
    "it gives a graph output its name": lambda: model([node("Identity", "x", "y")], {"x": [2, 3]}),
    "a second output is read": lambda: model(
        [node("Relu", "x", "r"), node("Dropout", "r", "n m"), node("Neg", "n", "y")], {"x": [2, 3]}, ["y", "m"]
    ),
}

LEAVES: dict[str, Sample] = {
    "add of +0.0 changes -0.0": noop("Add", "r k", {"k": _f(0.0, 1)}),
    "sub of -0.0 changes -0.0": noop("Sub", "r k", {"k": _f(-0.0, 1)}),
    "one over x": noop("Div", "k r", {"k": _f(1, 1)}),
    "zero minus x": noop("Sub", "k r", {"k": _f(0, 1)}),
    "almost one": noop("Mul", "r k", {"k": _f(1.000009, 1)}),
    "one in all but one place": noop("Mul", "r k", {"k": np.array([[[1]], [[1]], [[2]]], np.float32)}),
    "broadcasts to a higher rank": noop("Mul", "r k", {"k": _f(1, 1, 1, 1, 1, 1)}),
    "pads": noop("Pad", "r k", {"k": np.array([0, 0, 1, 0, 0, 0, 0, 0])}),
    "strided 1x1 pool": noop("MaxPool", kernel_shape=[1, 1], strides=[2, 2]),
    "concat of two": noop("Concat", "r r", axis=1),
    "cast": lambda: model(
        [node("Relu", "x", "r"), node("Cast", "r", "n", to=10), node("Cast", "n", "m", to=1), node("Neg", "m", "y")],
        {"x": [2, 3]},
    ),
    "cast like another": lambda: model(
        [node("Cast", "x", "h", to=10), node("CastLike", "x h", "n"), node("CastLike", "n x", "y")], {"x": [2, 3]}
    ),
    "clip at zero": noop("Clip", "r low", {"low": _f(0)}),
    "transpose": noop("Transpose", perm=[0, 1, 3, 2]),
    "reshape": noop("Reshape", "r k", {"k": np.array([0, 3, 16])}),
    "resize": noop("Resize", "r _ k", {"k": np.array([1, 1, 2, 2], np.float32)}, mode="nearest"),
    "slice off the end": noop("Slice", "r s e a", {"s": np.array([0]), "e": np.array([-1]), "a": np.array([1])}),
    "reversed slice": noop(
        "Slice", "r s e a t", {"s": np.array([-1]), "e": np.array([-(2**62)]), "a": np.array([1]), "t": np.array([-1])}
    ),
}  # fmt: skip
