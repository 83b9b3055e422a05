"""Which value of the graph a heat map is of: the head's input, or what the user names, in ONNX's words or PyTorch's."""

from __future__ import annotations

import ast
import difflib

import onnx_ir as ir

from cnnc_passes.rewrite import op_name
from cnnc_runtime.errors import UnsupportedModelError, UsageError

__all__ = ["default_layer", "find_layer", "module_outputs", "module_scopes"]

_SCOPES = "pkg.torch.onnx.name_scopes"  # a Python list: ['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']
_POOLINGS = ("GlobalAveragePool", "AveragePool", "MaxPool", "GlobalMaxPool", "ReduceMean", "ReduceMax")
_KEEPS = ("Identity", "Dropout")
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def module_scopes(node: ir.Node) -> list[str]:
    """The PyTorch modules around a node, outermost first: `["layer1", "layer1.0", "layer1.0.conv1"]`."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # written by whoever wrote the file
        return []
    return [str(scope) for scope in scopes[1:-1] if scope] if isinstance(scopes, list) else []


def default_layer(score: ir.Value) -> ir.Value:
    """The last value with places that the head reads, before its poolings: of VGG-16 relu5_3, of ResNet layer4.

    Where the head has several branches, it is that of the largest rank, then the first one.

    Raises:
        UnsupportedModelError: there is none.
    """
    value: ir.Value | None = score
    while value is not None and not _has_places(value):
        value = _data_input(value.producer())
    if value is None or value.producer() is None:  # a flattened image is no layer's map
        raise UnsupportedModelError(
            f"no layer of values (N, channels, height, width) leads to the score {score.name!r}: no place to point at"
        )
    while (node := value.producer()) is not None and op_name(node) in (*_POOLINGS, *_KEEPS):
        before = node.inputs[0]
        if before is None or not _has_places(before) or before.producer() is None:
            break
        value = before
    return value


def find_layer(model: ir.Model, name: str) -> ir.Value:
    """The value that `name` means: a value, the output of a node, or what a PyTorch module returns (`layer4.1`).

    Raises:
        UsageError: nothing has that name (with those that are close), or it is nothing with places.
    """
    values = {str(value.name): value for node in model.graph for value in node.outputs}
    nodes = {node.name: node.outputs[0] for node in model.graph if node.name}
    modules = module_outputs(model)
    found = values.get(name) or nodes.get(name)
    if name in modules:
        found = _only(name, modules[name])
    if found is None:
        known = [*modules, *(one for one, value in values.items() if value.shape is not None and len(value.shape) > 3)]
        close = difflib.get_close_matches(name, known, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known[:8])}, ..."
        raise UsageError(f"no layer is named {name!r}: {hint}")
    if found.shape is None or len(found.shape) < 4 or found.dtype not in _FLOATS:
        shape = "an unknown shape" if found.shape is None else f"the shape {found.shape}"
        raise UsageError(f"layer {name!r} has {shape}: a heat map is of floats (N, channels, height, width)")
    return found


def module_outputs(model: ir.Model) -> dict[str, list[ir.Value]]:
    """By the path of each PyTorch module: the floating values computed in it that something outside reads."""
    scopes = {node: module_scopes(node) for node in model.graph}
    found: dict[str, list[ir.Value]] = {}
    for node, paths in scopes.items():
        for value in node.outputs:
            if value.dtype not in _FLOATS:
                continue
            readers = [set(scopes.get(use.node, ())) for use in value.uses()]
            for path in paths:
                if value.is_graph_output() or any(path not in reader for reader in readers):
                    found.setdefault(path, []).append(value)
    return found


def _only(name: str, values: list[ir.Value]) -> ir.Value:
    spatial = [value for value in values if value.shape is not None and len(value.shape) > 3] or values
    if len(spatial) > 1:
        names = ", ".join(str(value.name) for value in spatial)
        raise UsageError(f"module {name!r} returns more than one value, or is called more than once: name one, {names}")
    return spatial[0]


def _has_places(value: ir.Value) -> bool:
    """Floats (N, K, ...) of more than one place. (N, 1, 1, K), channels last after a global pooling, is none."""
    if value.shape is None or len(value.shape) < 4 or value.dtype not in _FLOATS:
        return False
    sizes = list(value.shape)
    return any(size != 1 for size in sizes[2:]) and sum(size != 1 for size in sizes[1:]) > 1


def _data_input(node: ir.Node | None) -> ir.Value | None:
    """Of a node's inputs the one that carries the data: no weight, no shape."""
    if node is None:
        return None
    computed = [x for x in node.inputs if x is not None and x.const_value is None and x.dtype in _FLOATS]
    return max(computed, key=lambda x: len(x.shape or ()), default=None)
