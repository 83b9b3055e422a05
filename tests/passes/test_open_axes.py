"""Axes of a graph opened: what names the old sizes is told them by its input, the rest stays as it is."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.open_axes import open_axes
from cnnc_runtime.errors import UnsupportedModelError
from tests.contract.graphs import model, node, run_on_engine, weights

OPEN = {"x": {2: "height", 3: "width"}}


def opened(proto: onnx.ModelProto) -> onnx.ModelProto:
    graph = ir.from_proto(proto)
    InferShapes()(graph)
    open_axes(graph, OPEN)
    return ir.to_proto(graph)


def shapes(proto: onnx.ModelProto) -> list[list[int | str]]:
    dims = [value.type.tensor_type.shape.dim for value in (*proto.graph.input, *proto.graph.output)]
    return [[d.dim_value or d.dim_param for d in one] for one in dims]


def run(proto: onnx.ModelProto, *shape: int) -> np.ndarray:
    return run_on_engine(proto, {"x": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)})[0]


def shuffle(batch: int | str, first: list[int]) -> onnx.ModelProto:
    """As ShuffleNet's, its sizes written out."""
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Reshape", "c apart", "a"),
        node("Transpose", "a", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t together", "y"),
    ]
    constants = {
        "w": weights(6, 3, 3, 3),
        "apart": np.array([first[0], 2, 3, *first[1:]]),
        "together": np.array([first[0], 6, *first[1:]]),
    }
    return model(nodes, {"x": [batch, 3, 8, 10]}, ["y"], constants)


@pytest.mark.parametrize("batch", ["n", 1])
def test_reshapes_that_name_the_sizes(batch: int | str) -> None:
    before = shuffle(batch, [-1 if batch == "n" else 1, 4, 5])
    after = opened(before)
    assert shapes(after) == [
        [batch, 3, "height", "width"],
        [batch, 6, "floor(height/2 - 1/2) + 1", "floor(width/2 - 1/2) + 1"],
    ]
    np.testing.assert_array_equal(run(after, 1, 3, 8, 10), run(before, 1, 3, 8, 10))
    large = run(after, 1, 3, 12, 10)
    assert large.shape == (1, 6, 6, 5)
    onnx.checker.check_model(after)


def test_one_axis_between_is_left_to_be_computed() -> None:
    nodes = [node("Reshape", "x s", "y")]
    after = opened(model(nodes, {"x": ["n", 3, 4, 5]}, ["y"], {"s": np.array([-1, 3, 20])}))
    assert run(after, 2, 3, 7, 2).shape == (2, 3, 14)
    assert shapes(after)[1] == ["n", 3, "height*width"]


def test_a_reshape_that_adds_up_stays() -> None:
    proto = model([node("Reshape", "x s", "y")], {"x": ["n", 4, 4, 5]}, ["y"], {"s": np.array([0, 2, -1])})
    after = opened(proto)
    assert after.graph.node == proto.graph.node
    assert run(after, 1, 4, 6, 5).shape == (1, 2, 60)


def test_sizes_computed_from_the_input_stay_computed() -> None:
    nodes = [node("Shape", "x", "s"), node("Reshape", "x f", "r"), node("Reshape", "r s", "y")]
    after = opened(model(nodes, {"x": ["n", 4, 4, 5]}, ["y"], {"f": np.array([0, 2, -1])}))
    assert [one.op_type for one in after.graph.node] == ["Shape", "Reshape", "Reshape"]
    assert shapes(after)[1] == ["n", 4, "height", "width"]


def test_open_sizes_through_a_slice() -> None:
    bounds = {
        "from": np.array([0, 1]),
        "to": np.array([2**63 - 1] * 2),
        "axes": np.array([2, 3]),
        "by": np.array([2, 1]),
    }
    after = opened(model([node("Slice", "x from to axes by", "y")], {"x": ["n", 3, 8, 8]}, ["y"], bounds))
    assert shapes(after)[1] == ["n", 3, "floor(height/2 - 1/2) + 1", "width - 1"]
    assert run(after, 1, 3, 7, 5).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("target", [[-1, 3, 2, 2, 5], [-1, 5, 12]])
def test_what_cannot_be_told_is_refused(target: list[int]) -> None:
    proto = model([node("Reshape", "x s", "y")], {"x": ["n", 3, 4, 5]}, ["y"], {"s": np.array(target)})
    with pytest.raises(UnsupportedModelError, match="Reshape 'Reshape_y' keeps the sizes that it was exported at"):
        opened(proto)
