"""Is an ONNX file well formed? Its values, operators and stored numbers, told before anything computes with them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError

__all__ = ["check_graph", "check_operators", "check_payloads"]

_OLDEST_OPSET = 7  # before it broadcasting was an attribute: another language
_ENGINE_DOMAINS = ("com.microsoft", "com.microsoft.nchwc")  # the engine's own operators have no schema in onnx
_TYPED_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
# Attributes that onnx's checker cannot take alone: subgraphs read values around them, tensors may be in another file
_APART = (
    onnx.AttributeProto.GRAPH,
    onnx.AttributeProto.GRAPHS,
    onnx.AttributeProto.TENSOR,
    onnx.AttributeProto.TENSORS,
)
_COMPLEX = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)  # two numbers an element


def check_graph(graph: onnx.GraphProto) -> None:
    """Raise InvalidInputError unless every value is defined once, and before it is read, as ONNX demands."""
    if not graph.node and not graph.output:
        raise InvalidInputError("holds no graph")
    if not graph.output:
        raise InvalidInputError("its graph has no outputs")
    defined = {value.name for value in graph.input} | {value.name for value in graph.initializer}
    computed = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in defined:
                why = "before it is computed (nodes out of order, or in a circle)"
                reason = why if name in computed else "which nothing defines"
                raise InvalidInputError(f"{node.op_type} {node.name!r} reads {name!r}, {reason}")
        for name in filter(None, node.output):
            if name in defined:
                raise InvalidInputError(f"value {name!r} is defined twice")
            defined.add(name)
    for index, output in enumerate(graph.output):
        if output.name not in defined:
            raise InvalidInputError(f"nothing computes the output {output.name!r}")
        if output.name in (earlier.name for earlier in graph.output[:index]):
            raise InvalidInputError(f"lists the output {output.name!r} twice: give the second a name by an Identity")


def check_operators(proto: onnx.ModelProto) -> None:
    """Look every node up in onnx's schemas: its operator, the number of its inputs, the types of its attributes.

    Raises:
        UnsupportedModelError: an opset or operator that cnnc does not know.
        InvalidInputError: no opset, or a node that is not as its schema says.
    """
    opsets = {entry.domain or "": entry.version for entry in proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 0))
    newest = onnx.defs.onnx_opset_version()
    if not opsets[""]:
        raise InvalidInputError("names no opset (opset_import is missing)")
    if not _OLDEST_OPSET <= opsets[""] <= newest:
        raise UnsupportedModelError(f"opset {opsets['']} is not one of {_OLDEST_OPSET} to {newest}")
    functions = {(function.domain, function.name) for function in proto.functions}
    context = type(onnx.checker.DEFAULT_CONTEXT)()
    context.ir_version, context.opset_imports = proto.ir_version, opsets
    for node in _all_nodes(proto.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain in _ENGINE_DOMAINS or (node.domain, node.op_type) in functions:
            continue
        if domain not in opsets or not onnx.defs.has(node.op_type, opsets[domain], domain):
            full = f"{domain}::{node.op_type}" if domain else node.op_type
            raise UnsupportedModelError(f"unknown operator {full} (opset {opsets.get(domain, 'none')})")
        if node.domain == domain and not any(one.type in _APART for one in node.attribute):
            _check_node(node, context)


def check_payloads(proto: onnx.ModelProto) -> None:
    """Raise InvalidInputError unless each tensor in the file holds the numbers that its type and shape promise.

    What lies in external data is not looked at.
    """
    for tensor in _all_tensors(proto):
        try:
            _check_type(tensor)
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                _check_payload(tensor)
        except ValueError as error:
            raise InvalidInputError(f"tensor {tensor.name!r} of shape {list(tensor.dims)}: {error}") from error


def _check_node(node: onnx.NodeProto, context: object) -> None:
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        raise InvalidInputError(f"{node.op_type} {node.name!r}: {str(error).splitlines()[0]}") from error


def _check_type(tensor: onnx.TensorProto) -> None:
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        raise ValueError(f"unknown element type {tensor.data_type}")
    if any(size < 0 for size in tensor.dims):
        raise ValueError("a negative size")
    for entry in tensor.external_data:
        if entry.key in ("offset", "length") and not entry.value.isdecimal():
            raise ValueError(f"its external data has the {entry.key} {entry.value!r}")


def _check_payload(tensor: onnx.TensorProto) -> None:
    fields = [field for field in _TYPED_FIELDS if len(getattr(tensor, field))]
    raw = len(tensor.raw_data)
    if len(fields) + bool(raw) > 1:
        raise ValueError(f"its numbers are there twice, in {' and '.join([*fields, *['raw_data'] * bool(raw)])}")
    count, dtype = math.prod(tensor.dims), ir.DataType(tensor.data_type)
    packed = count if dtype == ir.DataType.STRING else math.ceil(count * dtype.bitwidth / 8)
    if raw:
        found, wanted, unit = raw, packed, "bytes"
    else:
        field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
        if fields and fields != [field]:
            raise ValueError(f"its {dtype.name} numbers are in {fields[0]} instead of {field}")
        # Below 8 bits one number holds several elements; a complex element is two numbers
        wanted = 2 * count if tensor.data_type in _COMPLEX else min(packed, count)
        found, unit = len(getattr(tensor, field)), "numbers"
    if found != wanted:
        raise ValueError(f"{wanted:,} {unit} are needed, {found:,} are there")


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for subgraph in _subgraphs(node):
            yield from _all_nodes(subgraph)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    nodes = [*_all_nodes(proto.graph), *(node for function in proto.functions for node in function.node)]
    yield from proto.graph.initializer
    for node in nodes:
        for subgraph in _subgraphs(node):
            yield from subgraph.initializer
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
