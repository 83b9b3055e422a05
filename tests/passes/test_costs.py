"""Costs of single nodes by hand, and of whole models where weights are shared, computed, or not even on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc_passes.costs import Cost, model_cost, node_cost
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.sizes import sizes_from, with_batch_of_one
from cnnc_runtime.errors import UsageError


def model(nodes: list[Any], inputs: Mapping[str, Any], constants: Mapping[str, tuple[int, ...]]) -> ir.Model:
    """A model with shapes inferred; its output is `y`, its constants are zeros."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    built = ir.from_proto(helper.make_model(made, opset_imports=opsets, ir_version=10))
    InferShapes()(built)
    return built


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def only(op: str, inputs: str, shape: list[Any], constants: Mapping[str, tuple[int, ...]], **attributes: Any) -> Cost:
    """The cost of the one node of a model with the input x."""
    built = model([node(op, inputs, **attributes)], {"x": shape}, constants)
    assert model_cost(built) == node_cost(built.graph[0])
    return node_cost(built.graph[0])


def test_convolution() -> None:
    cost = only("Conv", "x w b", ["n", 3, 32, 32], {"w": (6, 3, 5, 5), "b": (6,)})
    macs = 6 * 28 * 28 * 3 * 5 * 5
    assert cost == Cost(
        params=456,
        macs=macs,
        flops=2 * macs,
        weight_bytes=456 * 4,
        read_bytes=456 * 4 + 3 * 32 * 32 * 4,
        written_bytes=6 * 28 * 28 * 4,
    )


def test_groups_divide_the_macs() -> None:
    depthwise = only("Conv", "x w", [1, 8, 10, 10], {"w": (8, 1, 3, 3)}, group=8)
    assert (depthwise.params, depthwise.macs) == (72, 8 * 8 * 8 * 9)


def test_transposed_convolution_spreads_each_input() -> None:
    """4 inputs of 2 channels, each times 5 output channels times 3x3."""
    assert only("ConvTranspose", "x w", [1, 2, 2, 2], {"w": (2, 5, 3, 3)}).macs == 2 * 4 * 5 * 9


def test_fused_convolution_costs_what_the_convolution_does() -> None:
    plain = only("Conv", "x w b", [1, 3, 8, 8], {"w": (4, 3, 3, 3), "b": (4,)})
    fused = only(
        "FusedConv", "x w b", [1, 3, 8, 8], {"w": (4, 3, 3, 3), "b": (4,)}, domain="com.microsoft", activation="Relu"
    )
    assert fused == plain


def test_cast_like_reads_one_input() -> None:
    """The other one says the type only, as large as it may be."""
    built = model([node("CastLike", "c x", "t"), node("Mul", "x t")], {"x": [1, 32, 14, 14]}, {"c": (32, 1, 1)})
    cost = node_cost(built.graph[0])
    assert (cost.read_bytes, cost.written_bytes, cost.flops) == (32 * 4, 32 * 4, 0)


def test_fully_connected() -> None:
    cost = only("Gemm", "x w b", ["n", 8], {"w": (3, 8), "b": (3,)}, transB=1)
    assert (cost.params, cost.macs, cost.flops) == (27, 24, 48)
    assert only("Gemm", "x w", [8, 5], {"w": (8, 3)}, transA=1).macs == 5 * 8 * 3
    assert only("MatMul", "x w", ["n", 5, 8], {"w": (8, 3)}).macs == 5 * 8 * 3


def test_bias_added_to_a_matrix_product_is_learned_and_another_constant_is_not() -> None:
    built = model([node("MatMul", "x w", "m"), node("Add", "m b")], {"x": [2, 8]}, {"w": (8, 3), "b": (3,)})
    assert model_cost(built).params == 27
    assert only("Add", "x b", [2, 3], {"b": (3,)}).params == 0


def test_running_statistics_are_not_parameters() -> None:
    statistics = dict.fromkeys(("g", "b", "m", "v"), (4,))
    cost = only("BatchNormalization", "x g b m v", [1, 4, 5, 5], statistics)
    assert (cost.params, cost.macs, cost.flops, cost.weight_bytes) == (8, 0, 2 * 4 * 25, 4 * 4 * 4)


def test_operations_without_macs() -> None:
    assert only("Relu", "x", [1, 4, 5, 5], {}).flops == 100
    assert only("MaxPool", "x", [1, 4, 6, 6], {}, kernel_shape=[2, 2], strides=[2, 2]).flops == 4 * 4 * 9
    assert only("GlobalAveragePool", "x", [1, 4, 6, 6], {}).flops == 4 * 36
    assert only("Flatten", "x", [1, 4, 6, 6], {}).flops == 0


def test_shared_weights_count_once() -> None:
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Conv", "c w", pads=[1, 1, 1, 1])]
    built = model(nodes, {"x": [1, 3, 4, 4]}, {"w": (3, 3, 3, 3)})
    each = node_cost(built.graph[0])
    total = model_cost(built)
    assert (total.params, total.weight_bytes) == (each.params, each.weight_bytes) == (81, 324)
    assert total.macs == 2 * each.macs


def test_a_weight_computed_from_another_is_that_weight() -> None:
    built = model([node("Transpose", "w", "t", perm=[1, 0]), node("MatMul", "x t")], {"x": ["n", 8]}, {"w": (3, 8)})
    assert model_cost(built).params == 24
    product = model([node("MatMul", "x z")], {"x": [2, 8], "z": [8, 2]}, {})
    assert model_cost(product).params == 0


def test_sizes_settle_symbols_and_an_open_batch_counts_one() -> None:
    built = model([node("Conv", "x w")], {"x": ["batch", 3, "h", "w_"]}, {"w": (6, 3, 5, 5)})
    conv = built.graph[0]
    one = node_cost(conv, {"h": 32, "w_": 32}).macs
    assert one == 6 * 28 * 28 * 75
    assert node_cost(conv, {"h": 32, "w_": 32, "batch": 4}).macs == 4 * one
    assert model_cost(built, {"h": 32, "w_": 32}).macs == one
    with pytest.raises(UsageError, match="--input-shape"):
        node_cost(conv, {"h": 32})


def test_symbols_take_the_sizes_of_an_example() -> None:
    assert sizes_from(ir.Shape(["n", 3, "h", None]), (2, 3, 224, 224)) == {"n": 2, "h": 224}
    assert sizes_from(None, (2, 3)) == {}


def test_recurrent_layers_are_two_products_a_step() -> None:
    cost = only("GRU", "x w r", [5, 2, 8], {"w": (1, 12, 8), "r": (1, 12, 4)}, hidden_size=4)
    assert (cost.params, cost.macs) == (12 * 8 + 12 * 4, 5 * 2 * (12 * 8 + 12 * 4))


def test_batch_further_back_counts_one_in_a_whole_model() -> None:
    built = model([node("Transpose", "x", perm=[1, 0])], {"x": ["batch", 7]}, {})
    assert with_batch_of_one(built) == {"batch": 1}
    assert model_cost(built).written_bytes == 28
    assert model_cost(built, {"batch": 3}).written_bytes == 84


def test_shapes_that_are_missing_are_inferred_on_a_copy() -> None:
    built = model([node("Conv", "x w")], {"x": ["n", 3, 8, 8]}, {"w": (6, 3, 5, 5)})
    output = built.graph.outputs[0]
    output.shape = None
    assert model_cost(built).macs == 6 * 16 * 75
    assert output.shape is None
    with pytest.raises(UsageError, match="not known"):
        node_cost(built.graph[0])


def test_external_weights_are_not_loaded(tmp_path: Path) -> None:
    built = model([node("Conv", "x w")], {"x": ["n", 3, 8, 8]}, {"w": (6, 3, 5, 5)})
    ir.save(built, tmp_path / "net.onnx", external_data="net.data", size_threshold_bytes=0)
    (tmp_path / "net.data").unlink()
    external = ir.load(tmp_path / "net.onnx")
    assert isinstance(external.graph.initializers["w"].const_value, ir.ExternalTensor)
    cost = model_cost(external)
    assert (cost.params, cost.weight_bytes, cost.macs) == (450, 1800, 6 * 16 * 75)
