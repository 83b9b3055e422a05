"""InferShapes against onnx's own inference, the exporter and onnxruntime."""

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

import cnnc.zoo
from cnnc.export import export
from cnnc_passes.infer_shapes import InferShapes
from tests.passes.shape_graphs import graph, inferred, node, zeros


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
