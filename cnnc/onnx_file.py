"""An .onnx file -> onnx_ir.Model, refused with one clear line where it is malformed, unsafe or unsupported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from cnnc_runtime.errors import InvalidInputError, UnsafeInputError, UnsupportedModelError
from cnnc_runtime.preflight import check_model_file

__all__ = ["OLDEST_OPSET", "load_onnx", "refuse_training_mode"]

OLDEST_OPSET = 7  # before it broadcasting was an attribute: another language
_ENGINE_DOMAINS = (
    "com.microsoft",
    "com.microsoft.nchwc",
)  # the engine's own operators have no schema in onnx


def load_onnx(path: str | os.PathLike[str], *, allow_training_ops: bool = False) -> ir.Model:
    """Read a model; weights in external data stay on disk until they are used.

    Raises:
        InvalidInputError: missing, truncated or malformed file, graph or external data.
        UnsafeInputError: external data outside the model's folder.
        UnsupportedModelError: an opset or operator that cnnc does not know, or training-mode operators.
    """
    path = Path(path)
    check_model_file(path)
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise InvalidInputError(f"{path}: not an ONNX model, or cut short") from error
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    _check_graph(proto, path)
    _check_operators(proto, path)
    try:
        model: ir.Model = ir.from_proto(proto)
    except Exception as error:
        raise InvalidInputError(f"{path}: malformed model: {error}") from error
    _check_external_data(model, path)
    if not allow_training_ops:
        refuse_training_mode(model)
    return model


def refuse_training_mode(model: ir.Model) -> None:
    """Raise UnsupportedModelError for BatchNormalization or Dropout that runs as in training.

    onnxruntime folds the first wrongly and really drops with the second: neither has one right answer.
    """
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    for node in (node for graph in graphs for node in graph.all_nodes()):
        if node.op_type == "BatchNormalization" and node.attributes.get_int("training_mode", 0) == 1:
            raise UnsupportedModelError(
                f"{node.name or 'BatchNormalization'} has training_mode=1: export the network after model.eval() "
                "(or --allow-training-ops)"
            )
        if node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2] is not None:
            mode = ir.convenience.get_const_tensor(node.inputs[2])
            if mode is None or mode.numpy().any():
                raise UnsupportedModelError(
                    f"{node.name or 'Dropout'} drops at inference: write F.dropout(x, p, self.training) and export "
                    "after model.eval() (or --allow-training-ops)"
                )


def _check_graph(proto: onnx.ModelProto, path: Path) -> None:
    graph = proto.graph
    if not graph.node and not graph.output:
        raise InvalidInputError(f"{path}: holds no graph")
    if not graph.output:
        raise InvalidInputError(f"{path}: its graph has no outputs")
    defined = {value.name for value in graph.input} | {value.name for value in graph.initializer}
    computed = [name for node in graph.node for name in node.output if name]
    twice = (
        next((name for name in computed if computed.count(name) > 1 or name in defined), None)
        if (len(set(computed)) < len(computed) or defined & set(computed))
        else None
    )
    if twice is not None:
        raise InvalidInputError(f"{path}: value {twice!r} is defined twice")
    defined |= set(computed)
    for node in graph.node:
        for name in node.input:
            if name and name not in defined:
                raise InvalidInputError(f"{path}: {node.op_type} {node.name!r} reads {name!r}, which nothing defines")
    for output in graph.output:
        if output.name not in defined:
            raise InvalidInputError(f"{path}: nothing computes the output {output.name!r}")


def _check_operators(proto: onnx.ModelProto, path: Path) -> None:
    opsets = {entry.domain or "": entry.version for entry in proto.opset_import}
    opsets[""] = opsets.pop("ai.onnx", opsets.get("", 0))
    newest = onnx.defs.onnx_opset_version()
    if not opsets[""]:
        raise InvalidInputError(f"{path}: names no opset (opset_import is missing)")
    if not OLDEST_OPSET <= opsets[""] <= newest:
        raise UnsupportedModelError(f"{path}: opset {opsets['']} is not one of {OLDEST_OPSET} to {newest}")
    functions = {(function.domain, function.name) for function in proto.functions}
    for node in _all_nodes(proto.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain in _ENGINE_DOMAINS or (node.domain, node.op_type) in functions:
            continue
        if domain not in opsets or not onnx.defs.has(node.op_type, opsets[domain], domain):
            full = f"{domain}::{node.op_type}" if domain else node.op_type
            raise UnsupportedModelError(f"{path}: unknown operator {full} (opset {opsets.get(domain, 'none')})")


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_nodes(attribute.g)


def _check_external_data(model: ir.Model, path: Path) -> None:
    """Point each external tensor at its file, which must lie in the model's folder and be long enough."""
    folder = path.resolve().parent
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        location = Path(tensor.location)
        target = (path.parent / location).resolve()
        if location.is_absolute() or folder not in target.parents:
            raise UnsafeInputError(f"{path}: weight {value.name!r} lies outside the model's folder: {location}")
        if not target.is_file():
            raise InvalidInputError(f"{path}: its weights file {location} is missing or not a regular file")
        end = (tensor.offset or 0) + tensor.nbytes
        if (tensor.offset or 0) < 0 or end > target.stat().st_size:
            raise InvalidInputError(f"{path}: weight {value.name!r} ends past the end of {location}")
        if tensor.length is not None and tensor.length != tensor.nbytes:
            raise InvalidInputError(f"{path}: weight {value.name!r}: its length and its shape disagree")
        tensor.base_dir = str(path.parent)
