"""Hashes of a graph and of its weights: they change with any change, and with nothing else.

They show integrity, not authenticity: whoever can edit an artifact can edit the hashes in it too.
"""

from __future__ import annotations

import hashlib

import onnx_ir as ir

__all__ = ["graph_hash", "hashes", "weights_hash"]


def hashes(model: ir.Model) -> dict[str, str]:
    """Both, as they stand in an artifact's certificate."""
    return {"graph": graph_hash(model), "weights": weights_hash(model)}


def graph_hash(model: ir.Model) -> str:
    """SHA-256 of what is computed: operators, attributes, how values connect, inputs, outputs and opsets."""
    digest = hashlib.sha256()
    digest.update(repr(sorted(model.opset_imports.items())).encode())
    for value in (*model.graph.inputs, *model.graph.outputs):
        digest.update(f"{value.name}:{value.type}:{value.shape};".encode())
    for node in model.graph:
        proto = ir.to_proto(node)
        proto.ClearField("metadata_props")
        proto.ClearField("doc_string")
        digest.update(proto.SerializeToString(deterministic=True))
    return digest.hexdigest()


def weights_hash(model: ir.Model) -> str:
    """SHA-256 of every initializer, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.graph.initializers.items()):
        tensor = value.const_value
        assert tensor is not None
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
