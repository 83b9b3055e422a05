"""onnx's own shape inference, for one node: its schema's function, fed with types and small constants only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from onnx import checker, helper, numpy_helper, shape_inference

from cnnc_passes.dims import Dims, dims_of
from cnnc_passes.rewrite import constant
from cnnc_passes.shape_rules import Contents
from cnnc_runtime.errors import InvalidInputError

__all__ = ["infer_by_onnx"]

Assign = Callable[[ir.Value, Dims | None, ir.DataType | None], bool]
_LARGEST = 64  # elements: a constant that says a shape, axes, or scales; never a weight


def infer_by_onnx(node: ir.Node, contents: Contents, opsets: dict[str, int], assign: Assign) -> bool:
    """Let onnx infer the outputs of `node`; True if anything is new.

    Nothing is inferred where an input's type is unknown, for nodes with subgraphs (what their outputs declare
    stays) and for operators without a schema.

    Raises:
        InvalidInputError: onnx refuses the node.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(node.domain, opsets.get(domain))
    if version is None or not onnx.defs.has(node.op_type, version, domain):
        return False
    if any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()
    ):
        return False
    inputs = {str(value.name): value for value in node.inputs if value is not None}
    types = {name: _type(value) for name, value in inputs.items()}
    if None in types.values():
        return False
    data = {name: tensor for name, value in inputs.items() if (tensor := _data(value, contents)) is not None}
    try:
        inferred = shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, version, domain),
            ir.to_proto(node),
            types,
            data,
            opset_imports=[helper.make_opsetid(name, number) for name, number in opsets.items()],
        )
    except (shape_inference.InferenceError, checker.ValidationError) as error:
        raise InvalidInputError(str(error).removeprefix("[ShapeInferenceError] ")) from error
    modified = False
    for output in node.outputs:
        if output.name in inferred:
            modified |= _take(output, inferred[output.name], assign)
    return modified


def _type(value: ir.Value) -> onnx.TypeProto | None:
    if value.type is None:
        return None
    proto = onnx.TypeProto()
    ir.serde.serialize_type_into(proto, value.type)
    if value.shape is not None and proto.HasField("tensor_type"):
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def _data(value: ir.Value, contents: Contents) -> onnx.TensorProto | None:
    """The numbers of a small constant, or of a computed shape whose sizes are all known."""
    sizes = contents(value)
    if sizes is not None and value.const_value is None:
        rank = len(value.shape) if value.shape is not None else 1
        if value.dtype is None or not all(isinstance(size, int) for size in sizes):
            return None
        numbers = np.array(sizes, value.dtype.numpy())
        return numpy_helper.from_array(numbers.reshape([-1] if rank else []), value.name)
    tensor = value.const_value
    array = constant(value) if tensor is not None and tensor.size <= _LARGEST else None
    return None if array is None else numpy_helper.from_array(array, value.name)


def _take(output: ir.Value, proto: onnx.TypeProto, assign: Assign) -> bool:
    if proto.HasField("tensor_type") and proto.tensor_type.elem_type:
        shape = ir.serde.deserialize_type_proto_for_shape(proto)
        return assign(output, None if shape is None else dims_of(shape), ir.DataType(proto.tensor_type.elem_type))
    kind = ir.serde.deserialize_type_proto_for_type(proto)
    if kind is None or kind == output.type:
        return False
    output.type = kind
    return True
