"""A model -> one .onnx file, tensor by tensor: the memory of one tensor, where serializing it whole takes two copies.

The bytes are those of an ordinary ModelProto. Protobuf's wire format (protobuf.dev/programming-guides/encoding)
lets a message's fields come in any order, so the graph is written as its nodes and then its initializers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import onnx
import onnx_ir as ir

__all__ = ["stream_model"]

_GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
_INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER


def stream_model(model: ir.Model, file: BinaryIO) -> None:
    """Write `model`, which stays as it is; a graph of more than 2 GiB does not fit one file."""
    skeleton = model.clone()
    skeleton.graph.initializers.clear()
    proto = ir.to_proto(skeleton)
    nodes = proto.graph.SerializeToString()
    proto.ClearField("graph")
    length = len(nodes) + sum(len(_header(_INITIALIZER, len(tensor))) + len(tensor) for tensor in _tensors(model))
    file.write(proto.SerializeToString())
    file.write(_header(_GRAPH, length))
    file.write(nodes)
    for tensor in _tensors(model):
        file.write(_header(_INITIALIZER, len(tensor)))
        file.write(tensor)


def _tensors(model: ir.Model) -> Iterator[bytes]:
    for value in model.graph.initializers.values():
        content = value.const_value
        assert content is not None
        if isinstance(content, ir.ExternalTensor):  # else only the reference to its file would be written
            content = ir.Tensor(content.numpy(), dtype=content.dtype, shape=content.shape)
        tensor = onnx.TensorProto()
        ir.serde.serialize_tensor_into(tensor, content)
        tensor.name = str(value.name)
        yield tensor.SerializeToString()


def _header(field: int, length: int) -> bytes:
    """The tag of a length-delimited field (wire type 2), and the length."""
    return _varint(field << 3 | 2) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))
