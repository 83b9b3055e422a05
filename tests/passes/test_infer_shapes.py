"""InferShapes against onnx's own inference, onnxruntime, and models whose sizes contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import cnnc.zoo
from cnnc.export import export
from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import InvalidInputError
from tests.contract import graphs
from tests.passes.shape_graphs import graph, node, zeros


def inferred(proto: onnx.ModelProto) -> dict[str, list[int | str | None]]:
    """Shapes by value name, after a pass that told the truth: twice is once."""
    model = ir.from_proto(proto)
    assert InferShapes()(model).modified
    assert not InferShapes()(model).modified
    values = [output for each in model.graph for output in each.outputs]
    assert all(value.dtype is not None for value in values if value.shape is not None)
    return {
        str(value.name): [size if isinstance(size, int) else size.value for size in value.shape]
        for value in values
        if value.shape is not None
    }


def by_onnx(proto: onnx.ModelProto, value: str = "y") -> list[int]:
    result = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    info = next(info for info in [*result.output, *result.value_info] if info.name == value)
    return [d.dim_value or d.dim_param or None for d in info.type.tensor_type.shape.dim]


def by_engine(proto: onnx.ModelProto) -> list[int]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {value.name: np.zeros(value.shape, np.float32) for value in session.get_inputs()}
    return list(session.run(None, feeds)[0].shape)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_zoo_nets_get_the_shapes_that_the_exporter_and_onnx_say(name: str) -> None:
    model = export(cnnc.zoo.build(name), torch.zeros(2, *cnnc.zoo.ZOO[name].input_shape))
    declared = {out.name: (out.shape, out.dtype) for each in model.graph for out in each.outputs}
    for each in model.graph:
        for out in each.outputs:
            out.shape = out.type = None
    assert InferShapes()(model).modified
    assert not InferShapes()(model).modified
    for each in model.graph:
        for out in each.outputs:
            shape, dtype = declared[out.name]
            assert out.shape is not None and not out.shape.has_unknown_dim()
            assert shape in (None, out.shape)
            assert dtype in (None, out.dtype)
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True, data_prop=True)
    assert ir.from_proto(proto).graph.outputs[0].shape == model.graph.outputs[0].shape


WINDOWS = {
    "size": st.tuples(st.integers(1, 9), st.integers(1, 9)),
    "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    "dilations": st.tuples(st.integers(1, 2), st.integers(1, 2)),
    "pads": st.tuples(*[st.integers(0, 2)] * 4),
}


def fits(size: Sequence[int], kernel: Sequence[int], dilations: Sequence[int], pads: Sequence[int]) -> bool:
    return all(size[i] + pads[i] + pads[2 + i] >= dilations[i] * (kernel[i] - 1) + 1 for i in range(2))


@settings(max_examples=60, deadline=None)
@given(**WINDOWS, group=st.integers(1, 3), auto_pad=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
def test_convolutions_agree_with_onnx(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    group: int,
    auto_pad: str,
) -> None:
    padding = {"pads": pads} if auto_pad == "NOTSET" else {"auto_pad": auto_pad}
    assume(fits(size, kernel, dilations, padding.get("pads", (0, 0, 0, 0))))
    conv = node("Conv", "x w b", strides=strides, dilations=dilations, group=group, **padding)
    proto = graph([conv], {"x": [2, 2 * group, *size]}, {"w": zeros(3 * group, 2, *kernel), "b": zeros(3 * group)})
    assert inferred(proto)["y"] == by_onnx(proto)


@settings(max_examples=60, deadline=None)
@given(**WINDOWS, op=st.sampled_from(["MaxPool", "AveragePool"]), ceil_mode=st.booleans())
def test_poolings_agree_with_the_engine(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    op: str,
    ceil_mode: bool,
) -> None:
    assume(fits(size, kernel, dilations, pads) and all(pads[i] < kernel[i % 2] for i in range(4)))
    pool = node(op, "x", kernel_shape=kernel, strides=strides, dilations=dilations, pads=pads, ceil_mode=int(ceil_mode))
    proto = graph([pool], {"x": [2, 3, *size]}, opset=22)
    assert inferred(proto)["y"] == by_engine(proto) == by_onnx(proto)


def test_known_disagreement_with_onnx_is_settled_by_the_engine() -> None:
    """AveragePool 3x3, stride 3, padding 1, ceil_mode on 2x2: onnx below opset 22 says 2x2."""
    pool = node("AveragePool", "x", kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1)
    proto = graph([pool], {"x": [1, 1, 2, 2]}, opset=19)
    assert by_onnx(proto) == [1, 1, 2, 2]
    assert inferred(proto)["y"] == by_engine(proto) == [1, 1, 1, 1]


@settings(max_examples=30, deadline=None)
@given(**WINDOWS, extra=st.tuples(st.integers(0, 2), st.integers(0, 2)), group=st.integers(1, 2))
def test_transposed_convolutions_agree_with_onnx(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    pads: tuple[int, ...],
    extra: tuple[int, ...],
    group: int,
) -> None:
    assume(all(extra[i] < max(strides[i], dilations[i]) for i in range(2)))
    grown = [(size[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 + extra[i] for i in range(2)]
    assume(all(grown[i] > pads[i] + pads[2 + i] for i in range(2)))
    conv = node(
        *("ConvTranspose", "x w"),
        strides=strides,
        dilations=dilations,
        pads=pads,
        output_padding=extra,
        group=group,
    )
    proto = graph([conv], {"x": [1, 2 * group, *size]}, {"w": zeros(2 * group, 3, *kernel)})
    assert inferred(proto)["y"] == by_onnx(proto)


SAMPLES = {
    "1-D": ([node("Conv", "x w", pads=[1, 1])], {"x": [1, 2, 8]}, {"w": zeros(4, 2, 3)}),
    "3-D": ([node("MaxPool", "x", kernel_shape=[1, 2, 2], strides=[1, 2, 2])], {"x": [1, 2, 4, 8, 8]}, {}),
    "global pooling": ([node("GlobalAveragePool", "x")], {"x": ["n", 8, 7, 7]}, {}),
    "Gemm": ([node("Gemm", "x w b", transB=1)], {"x": ["n", 8]}, {"w": zeros(3, 8), "b": zeros(3)}),
    "MatMul": ([node("MatMul", "x w")], {"x": ["n", 5, 8]}, {"w": zeros(8, 3)}),
    "vector MatMul": ([node("MatMul", "x w")], {"x": [8]}, {"w": zeros(2, 8, 3)}),
    "broadcast": ([node("Add", "x w")], {"x": ["n", 3, 1, 5]}, {"w": zeros(3, 4, 1)}),
    "comparison": ([node("Less", "x w", "m"), node("Where", "m x w")], {"x": ["n", 3]}, {"w": zeros(3)}),
    "Concat": ([node("Concat", "x w", axis=-3)], {"x": [2, 3, 4, 4]}, {"w": zeros(2, 5, 4, 4)}),
    "Flatten": ([node("Flatten", "x", axis=2)], {"x": [2, 3, 4, 5]}, {}),
    "Reshape": ([node("Reshape", "x s")], {"x": [2, 3, 4]}, {"s": np.array([0, -1])}),
    "Transpose": ([node("Transpose", "x", perm=[0, 2, 1])], {"x": ["n", 3, 4]}, {}),
    "ReduceMean": ([node("ReduceMean", "x a", keepdims=0)], {"x": ["n", 3, 4, 4]}, {"a": np.array([2, 3])}),
    "Pad": ([node("Pad", "x p")], {"x": [1, 2, 4, 4]}, {"p": np.array([0, 0, 1, 2, 0, 0, 3, -1])}),
    "Softmax": ([node("Softmax", "x")], {"x": ["n", 10]}, {}),
    "Resize": ([node("Resize", "x r s")], {"x": [1, 2, 4, 4]}, {"r": zeros(0), "s": np.float32([1, 1, 2, 2])}),
}  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_operators_agree_with_onnx(sample: tuple[Any, Any, Any]) -> None:
    proto = graph(*sample)
    assert inferred(proto)["y"] == by_onnx(proto)


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
