"""Graphs with one thing changed: what makes a law decline."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    new = onnx.ModelProto()
    new.CopyFrom(proto)
    return new


def set_attribute(proto: onnx.ModelProto, index: int, **attributes: object) -> onnx.ModelProto:
    changed = copy(proto)
    for name, value in attributes.items():
        changed.graph.node[index].attribute.append(onnx.helper.make_attribute(name, value))
    return changed


def expose(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = copy(proto)
    changed.graph.output.append(next(v for v in changed.graph.value_info if v.name == name))
    return changed


def overridable(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = copy(proto)
    tensor = next(t for t in changed.graph.initializer if t.name == name)
    changed.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    return changed


def to_float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    half = copy(proto)
    for i, tensor in enumerate(half.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            half.graph.initializer[i].CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*half.graph.input, *half.graph.output, *half.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in half.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = TensorProto.FLOAT16
    return half
