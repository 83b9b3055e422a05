"""InferShapes where onnx's own inference says too little: open sizes, sizes read from shapes, other operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import InvalidInputError
from tests.contract import graphs
from tests.passes.shape_graphs import graph, inferred, node, zeros


def test_symbolic_sizes_keep_the_formula() -> None:
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2], pads=[3, 3, 3, 3]),
        node("MaxPool", "c", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "p", "g"),
        node("Flatten", "g"),
    ]
    shapes = inferred(graph(nodes, {"x": ["n", 3, "h", "w_"]}, {"w": zeros(8, 3, 7, 7)}))
    assert shapes["c"] == ["n", 8, "floor(h/2 - 1/2) + 1", "floor(w_/2 - 1/2) + 1"]
    assert ir.SymbolicDim(shapes["p"][2]).evaluate({"h": 225}) == 57
    assert shapes["y"] == ["n", 8]


def test_shape_arithmetic_keeps_the_batch() -> None:
    """`x.view(x.size(0), -1)`, as exporters spell it."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 minus", "t", axis=0),
        node("Reshape", "x t"),
    ]
    constants = {"zero": np.array(0), "axis": np.array([0]), "minus": np.array([-1])}
    assert inferred(graph(nodes, {"x": ["n", 3, 4, 4]}, constants))["y"] == ["n", 48]


def test_a_symbol_that_is_no_expression_is_carried_along() -> None:
    nodes = [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("Concat", "x x", axis=2)]
    shapes = inferred(graph(nodes, {"x": ["batch?", 3, "h?", 8]}, {"w": zeros(4, 3, 1, 1)}))
    assert shapes == {"c": ["batch?", 4, None, 8], "f": ["batch?", None], "y": ["batch?", 3, None, 8]}


def test_fused_convolution_is_known_too() -> None:
    conv = node("FusedConv", "x w b", activation="Relu", domain="com.microsoft", pads=[1, 1, 1, 1])
    assert inferred(graph([conv], {"x": ["n", 3, 8, 8]}, {"w": zeros(4, 3, 3, 3), "b": zeros(4)}))["y"] == [
        "n",
        4,
        8,
        8,
    ]


def test_a_declared_shape_that_is_wrong_is_replaced_and_one_of_an_unknown_operator_kept() -> None:
    nodes = [node("Relu", "x", "r"), node("Mystery", "r", "m", domain="com.microsoft"), node("Relu", "m")]
    proto = graph(nodes, {"x": [1, 4]})
    proto.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [9, 9]))
    proto.graph.value_info.append(helper.make_tensor_value_info("m", TensorProto.FLOAT, [7]))
    assert inferred(proto) == {"r": [1, 4], "m": [7], "y": [7]}


def test_weights_are_not_read() -> None:
    class Unreadable(ir.LazyTensor):
        pass

    def fail() -> ir.TensorProtocol:
        raise AssertionError("a weight was read")

    model = ir.from_proto(graph([node("Conv", "x w", "c"), node("Relu", "c")], {"x": [1, 3, 8, 8]}))
    weight = Unreadable(fail, dtype=ir.DataType.FLOAT, shape=ir.Shape([4, 3, 3, 3]), name="w")
    conv = model.graph[0]
    value = ir.Value(name="w", const_value=weight)
    model.graph.register_initializer(value)
    conv.replace_input_with(1, value)
    InferShapes()(model)
    assert model.graph.outputs[0].shape == [1, 4, 6, 6]


def test_resize_to_sizes_that_were_read_from_a_shape() -> None:
    """What `F.interpolate(x, y.shape[2:])` exports to; onnx's own inference loses the open batch here."""
    nodes = [
        graphs.node("Shape", "x", "s", start=0, end=2),
        graphs.node("Shape", "z", "t", start=2, end=4),
        graphs.node("Concat", "s t", "sizes", axis=0),
        graphs.node("Resize", "x _ _ sizes", "y", mode="nearest"),
    ]
    graph = ir.from_proto(graphs.model(nodes, {"x": ["batch", 3, 4, 4], "z": ["batch", 5, "h", 9]}))
    assert [str(size) for size in graph.graph.outputs[0].shape or ()] == ["batch", "3", "h", "9"]


@pytest.mark.parametrize(
    ("inputs", "constants", "attributes", "expected"),
    [
        ("x _ s", {"s": np.float32([1, 1, 2, 3])}, {}, ["batch", "3", "2*h", "27"]),
        ("x _ s", {"s": np.float32([1, 1, 1.5, 1.5])}, {}, ["batch", "3", "None", "13"]),
        ("x _ _ s", {"s": np.array([8, 7])}, {"axes": [2, -1]}, ["batch", "3", "8", "7"]),
    ],
    ids=["scales", "broken-scales", "sizes-of-axes"],
)
def test_resize_keeps_the_symbols_of_open_sizes(
    inputs: str, constants: dict[str, np.ndarray], attributes: dict[str, Any], expected: list[str]
) -> None:
    """Onnx's own inference loses the open batch here, and with it what may be fused after a sum."""
    nodes = [graphs.node("Resize", inputs, "y", mode="nearest", **attributes)]
    graph = ir.from_proto(graphs.model(nodes, {"x": ["batch", 3, "h", 9]}, ["y"], constants))
    assert [str(getattr(size, "value", size)) for size in graph.graph.outputs[0].shape or ()] == expected


@pytest.mark.parametrize(("opset", "size"), [(18, 2), (21, 4)])
def test_group_normalization_has_its_inputs_shape(opset: int, size: int) -> None:
    """Onnx infers it only where it is a function; from opset 21 on it is none, and scale and shift are per channel."""
    norm = node("GroupNormalization", "x s t", num_groups=2)
    constants = {"s": zeros(size), "t": zeros(size)}
    proto = graph([norm], {"x": ["batch", 4, "h", 9]}, constants, opset=opset)
    assert inferred(proto)["y"] == ["batch", 4, "h", 9]


@pytest.mark.parametrize(
    ("x", "size", "groups", "message"),
    [
        (["batch", 4, 8], 3, 2, r"4 channels in 2 groups, but 's' is \[3\]"),
        (["batch", 5, 8], 5, 2, "5 channels do not divide into 2 groups"),
        (["batch", 4], 4, 2, "an input of rank 2"),
    ],
)
def test_a_group_normalization_that_contradicts_itself(x: list[Any], size: int, groups: int, message: str) -> None:
    norm = node("GroupNormalization", "x s t", num_groups=groups)
    proto = graph([norm], {"x": x}, {"s": zeros(size), "t": zeros(size)}, opset=21)
    with pytest.raises(InvalidInputError, match=f"the_GroupNormalization.*{message}"):
        InferShapes()(ir.from_proto(proto))
