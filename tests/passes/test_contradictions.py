"""Sizes that contradict each other are refused, with the name of the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import InvalidInputError
from tests.passes.shape_graphs import graph, node, zeros

CONTRADICTIONS = {
    "channels": (node("Conv", "x w"), [1, 4, 8, 8], zeros(8, 3, 3, 3), "4 channels, but the weight and `group` take 3"),
    "zero groups": (node("Conv", "x w", group=0), [1, 3, 8, 8], zeros(8, 3, 3, 3), "`group` is 0"),
    "uneven groups": (node("Conv", "x w", group=2), [1, 6, 8, 8], zeros(7, 3, 3, 3), "7 channels do not divide"),
    "stride": (node("Conv", "x w", strides=[0, 1]), [1, 3, 8, 8], zeros(8, 3, 3, 3), "`strides` is"),
    "dilation": (node("Conv", "x w", dilations=[1, -1]), [1, 3, 8, 8], zeros(8, 3, 3, 3), "`dilations` is"),
    "pads": (node("Conv", "x w", pads=[1, 1]), [1, 3, 8, 8], zeros(8, 3, 3, 3), "4 values are needed"),
    "kernel": (node("Conv", "x w", kernel_shape=[5, 5]), [1, 3, 8, 8], zeros(8, 3, 3, 3), "`kernel_shape` is"),
    "rank": (node("Conv", "x w"), [1, 3, 8], zeros(8, 3, 3, 3), "an input of rank 3"),
    "too small": (node("Conv", "x w"), [1, 3, 2, 8], zeros(8, 3, 3, 3), "does not fit"),
    "no kernel": (node("MaxPool", "x"), [1, 3, 8, 8], zeros(1), "`kernel_shape` is missing"),
    "auto_pad": (node("Conv", "x w", auto_pad="FULL"), [1, 3, 8, 8], zeros(8, 3, 3, 3), "`auto_pad` is 'FULL'"),
    "matrix": (node("MatMul", "x w"), [2, 5], zeros(4, 3), "5 columns times 4 rows"),
    "Gemm": (node("Gemm", "x w", transB=1), [2, 5], zeros(5, 3), "5 columns times 3 rows"),
    "broadcast": (node("Add", "x w"), [2, 5], zeros(4), "sizes 5 and 4 on one axis"),
    "concat": (node("Concat", "x w", axis=0), [2, 5], zeros(2, 4), "sizes 5 and 4 on one axis"),
    "BatchNormalization": (node("BatchNormalization", "x w w w w"), [1, 3, 8, 8], zeros(4), "3 channels, but 'w' is"),
    "by onnx": (node("Transpose", "x", perm=[0, 0]), [2, 5], zeros(1), "."),
}


@pytest.mark.parametrize("case", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradicting_sizes_are_refused_with_the_nodes_name(case: tuple[Any, Any, Any, str]) -> None:
    wrong, shape, weight, message = case
    model = ir.from_proto(graph([wrong], {"x": shape}, {"w": weight}))
    with pytest.raises(InvalidInputError, match=message) as caught:
        InferShapes()(model)
    assert f"'the_{wrong.op_type}'" in str(caught.value)


@pytest.mark.parametrize(("target", "message"), [([5, -1], "24 elements"), ([-1, -1], "more than one"), ([7], "24")])
def test_impossible_reshapes_are_refused(target: list[int], message: str) -> None:
    proto = graph([node("Reshape", "x s")], {"x": [2, 3, 4]}, {"s": np.array(target)})
    with pytest.raises(InvalidInputError, match=message):
        InferShapes()(ir.from_proto(proto))
