"""What is said of one normalizing operator, or of a few that are one: axes and values a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from cnnc.analysis import analyze_model
from cnnc.analysis.normalization import Normalization
from tests.compiler.test_normalization import normalizing
from tests.contract.graphs import model, node

STORED = "stored mean and variance of each channel: nothing is averaged at run time"

ONE = {"s": np.ones(6, np.float32), "b": np.zeros(6, np.float32)}


def said(nodes: Sequence[onnx.NodeProto], *shape: int | str, opset: int = 20, **constants: np.ndarray) -> Normalization:
    """Of the one normalization from `x` to `y`."""
    graph = ir.from_proto(model(nodes, {"x": shape}, constants=constants, opset=opset))
    ((_, _, normalization),) = normalizing(analyze_model(graph, name="net"))
    return normalization


@pytest.mark.parametrize(
    ("operator", "opset", "axes", "values", "text"),
    [
        (
            node("GroupNormalization", "x s b", "y", num_groups=3),
            21,
            (1, 2, 3),
            40,
            "over 2 of 6 channels, H, W (axes 1, 2, 3), for each sample and each of 3 groups",
        ),
        (
            node("LRN", "x", "y", size=5, alpha=0.0005, bias=2.0),
            20,
            (1,),
            5,
            "x / (2 + 0.0005/5 * s)^0.75, s the sum of the squares of 5 neighboring channels (axis 1) at the same "
            "position; no mean is subtracted",
        ),
        (
            node("MeanVarianceNormalization", "x", "y"),
            20,
            (0, 2, 3),
            20,
            "over N, H, W (axes 0, 2, 3), for each channel",
        ),
        (
            node("LpNormalization", "x", "y", axis=1, p=1),
            20,
            (1,),
            6,
            "L1 norm, no mean is subtracted: over C (axis 1), for each sample and position",
        ),
        (
            node("LayerNormalization", "x w", "y", axis=-1),
            20,
            (3,),
            5,
            "over W (axis 3), for each sample, channel and position",
        ),
        (
            node("BatchNormalization", "x s b b s", "y m v", training_mode=1),
            20,
            (0, 2, 3),
            20,
            "over N, H, W (axes 0, 2, 3), for each channel",
        ),
    ],
)
def test_operators(operator: onnx.NodeProto, opset: int, axes: tuple[int, ...], values: int, text: str) -> None:
    found = said([operator], "n", 6, 4, 5, opset=opset, w=np.ones(5, np.float32), **ONE)
    assert (found.kind, found.operators) == (operator.op_type, 1)
    assert (found.axes, found.values_per_mean, found.text) == (axes, values, text)


def test_axes_of_unknown_meaning_have_numbers_only() -> None:
    """Of rank 3, a graph input may be tokens as well as a signal."""
    norm = node("LayerNormalization", "x s", "y")
    assert said([norm], "n", 7, 6, **ONE).text == "over the last (axis 2), for each index of the others"
    both = node("LayerNormalization", "x w", "y", axis=1)
    found = said([both], "n", 7, 6, w=np.ones((7, 6), np.float32))
    assert (found.text, found.values_per_mean) == ("over all but the first (axes 1, 2), for each sample", 42)


def test_what_a_transpose_moves_last_is_the_channels() -> None:
    """Whatever computed it; behind any other operator that moves elements, nothing is known."""
    reshaped = [node("Reshape", "x into", "r"), node("Transpose", "r", "t", perm=[0, 2, 3, 1])]
    norm = node("LayerNormalization", "t s", "y")
    found = said([*reshaped, norm], "n", 30, 4, into=np.array([0, 6, 4, 5]), **ONE)
    assert found.text == "over C (axis 3), for each sample and position"
    back = [*reshaped, node("Transpose", "t", "u", perm=[0, 3, 1, 2]), node("LayerNormalization", "u w", "y", axis=2)]
    found = said(back, "n", 30, 4, into=np.array([0, 6, 4, 5]), w=np.ones((4, 5), np.float32))
    assert found.text == "over H, W (axes 2, 3), for each sample and channel"
    norm = node("LayerNormalization", "r w", "y")
    found = said([reshaped[0], norm], "n", 30, 4, into=np.array([0, 6, 4, 5]), w=np.ones(5, np.float32))
    assert found.text == "over the last (axis 3), for each index of the others"


def test_a_division_that_is_no_response_normalization() -> None:
    """The pooling is over positions, or divides by fewer at the border, or squares something else."""

    def divided(pool: dict[str, Any], square: str = "x x") -> list[onnx.NodeProto]:
        return [
            node("Relu", "x", "z"),
            node("Mul", square, "q"),
            node("Unsqueeze", "q one", "u"),
            node("AveragePool", "u", "a", **pool),
            node("Squeeze", "a one", "m"),
            node("Mul", "m alpha", "r"),
            node("Add", "r k", "t"),
            node("Pow", "t beta", "p"),
            node("Div", "x p", "y"),
        ]

    constants = {"one": np.array([1]), **{name: np.float32(0.5) for name in ("alpha", "k", "beta")}}
    across = {"kernel_shape": [3, 1, 1], "pads": [1, 0, 0, 1, 0, 0], "count_include_pad": 1}

    def found(nodes: list[onnx.NodeProto]) -> list[str]:
        graph = ir.from_proto(model(nodes, {"x": ["n", 6, 4, 5]}, constants=constants))
        return [layer.output for _, layer, _ in normalizing(analyze_model(graph, name="net"))]

    assert found(divided(across)) == ["q"]
    assert found(divided(across | {"count_include_pad": 0})) == []
    assert found(divided(across, "x z")) == []
    assert found(divided({"kernel_shape": [1, 3, 1], "pads": [0, 1, 0, 0, 1, 0], "count_include_pad": 1})) == []


def test_instance_normalization_of_another_shape_is_no_group_norm() -> None:
    """The Reshape behind it does not go back to what was read."""
    nodes = [
        node("Reshape", "x into", "g"),
        node("InstanceNormalization", "g s b", "i"),
        node("Reshape", "i flat", "y"),
    ]
    constants = {"into": np.array([0, 6, -1]), "flat": np.array([0, -1])}
    found = said(nodes, "n", 6, 4, 5, **constants, **ONE)
    assert (found.kind, found.text) == ("InstanceNormalization", "over L (axis 2), for each sample and channel")
