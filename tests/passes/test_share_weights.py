"""ShareWeights: equal bytes are kept once, and nothing else is."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from cnnc_passes.share_weights import ShareWeights
from tests.contract.edits import overridable
from tests.contract.graphs import model, node

W = np.random.default_rng(0).standard_normal((8, 8, 5, 5)).astype(np.float32)  # more than 1024 elements


def two(first: np.ndarray, second: np.ndarray) -> onnx.ModelProto:
    nodes = [node("Conv", "x a", "c"), node("Conv", "c b", "y")]
    return model(nodes, {"x": [1, 8, 16, 16]}, ["y"], {"a": first, "b": second})


def shared(proto: onnx.ModelProto) -> list[str]:
    graph = ir.from_proto(proto)
    assert ShareWeights()(graph).modified == (len(graph.graph.initializers) < 2)
    assert not ShareWeights()(graph).modified
    return [str(n.inputs[1].name) for n in graph.graph if n.inputs[1] is not None]


def one_off(place: int) -> np.ndarray:
    other = W.copy()
    other.reshape(-1)[place] = np.nextafter(other.reshape(-1)[place], np.float32(9))
    return other


def test_equal_weights_are_one() -> None:
    assert shared(two(W, W.copy())) == ["a", "a"]


@pytest.mark.parametrize(
    "other",
    [one_off(0), one_off(1), one_off(W.size - 1), W.transpose(0, 1, 3, 2), W.reshape(8, 8, 25, 1)[:, :, :5]],
    ids=["first", "second", "last", "transposed", "shape"],
)
def test_others_stay_two(other: np.ndarray) -> None:
    assert shared(two(W, other)) == ["a", "b"]


def test_the_sign_of_a_zero_counts() -> None:
    assert shared(two(np.zeros_like(W), -np.zeros_like(W))) == ["a", "b"]


def test_what_a_caller_may_override_stays() -> None:
    assert shared(overridable(two(W, W.copy()), "b")) == ["a", "b"]
