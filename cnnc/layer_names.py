"""A node -> the name its author knows it by: the path of the PyTorch module that it came from."""

from __future__ import annotations

import ast

import onnx_ir as ir

__all__ = ["layer_name"]

_SCOPES = "pkg.torch.onnx.name_scopes"  # a Python list: ['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']


def layer_name(node: ir.Node) -> str:
    """The innermost module's path, `layer1.0.conv1`; for what forward itself computes, the node's own name."""
    scopes = _scopes(node)
    if len(scopes) > 1 and scopes[-2] and not scopes[-2].startswith("_"):  # underscore: the tracer's own marker
        return scopes[-2]
    return (scopes[-1] if scopes else "") or node.name or str(node.outputs[0].name)


def _scopes(node: ir.Node) -> list[str]:
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # written by whoever wrote the file
        return []
    return [str(scope) for scope in scopes] if isinstance(scopes, list) else []
