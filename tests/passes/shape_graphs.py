"""Small graphs that state no shapes but those of their inputs and constants, and what InferShapes finds there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from cnnc_passes.infer_shapes import InferShapes

Sizes = Sequence[int | str | None]


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sizes],
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model whose values have no shapes but the inputs' and constants'; its output is `y`."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"the_{op}", **attributes)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


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
