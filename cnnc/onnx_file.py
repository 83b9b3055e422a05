"""An .onnx file -> onnx_ir.Model, refused with one clear line where it is malformed, unsafe or unsupported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from cnnc.onnx_checks import check_graph, check_operators, check_payloads
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsafeInputError, UnsupportedModelError
from cnnc_runtime.preflight import check_model_file

__all__ = ["load_onnx", "refuse_training_mode"]


def load_onnx(path: str | os.PathLike[str], *, allow_training_ops: bool = False) -> ir.Model:
    """Read a model; weights in external data stay on disk until they are used.

    Raises:
        InvalidInputError: missing, truncated or malformed file, graph or external data.
        UnsafeInputError: external data outside the model's folder, or with a name there as well (a hard link).
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
    try:
        check_graph(proto.graph)
        check_operators(proto)
        check_payloads(proto)
        model: ir.Model = ir.from_proto(proto)
    except CnncError as error:
        raise type(error)(f"{path}: {error}") from error
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


def _check_external_data(model: ir.Model, path: Path) -> None:
    """Point each external tensor at its file, which must lie in the model's folder and be long enough."""
    folder = path.resolve().parent
    for tensor in _external_tensors(model):
        location = Path(tensor.location)
        target = (path.parent / location).resolve()
        if location.is_absolute() or folder not in target.parents:
            raise UnsafeInputError(f"{path}: weight {tensor.name!r} lies outside the model's folder: {location}")
        if not target.is_file():
            raise InvalidInputError(f"{path}: its weights file {location} is missing or not a regular file")
        if target.stat().st_nlink > 1:
            raise UnsafeInputError(f"{path}: its weights file {location} is also another file (a hard link): copy it")
        end = (tensor.offset or 0) + tensor.nbytes
        if (tensor.offset or 0) < 0 or end > target.stat().st_size:
            raise InvalidInputError(f"{path}: weight {tensor.name!r} ends past the end of {location}")
        if tensor.length is not None and tensor.length != tensor.nbytes:
            raise InvalidInputError(f"{path}: weight {tensor.name!r}: its length and its shape disagree")
        tensor.base_dir = str(path.parent)


def _external_tensors(model: ir.Model) -> Iterator[ir.ExternalTensor]:
    for graph in (*model.graphs(), *(function.graph for function in model.functions.values())):
        constants = [value.const_value for value in graph.initializers.values()]
        for node in graph:
            constants += [a.value for a in node.attributes.values() if a.type == ir.AttributeType.TENSOR]
        yield from (tensor for tensor in constants if isinstance(tensor, ir.ExternalTensor))
