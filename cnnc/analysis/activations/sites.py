"""Which values of a graph are worth looking at: the outputs of its layers, and what each kind of layer can do wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import onnx_ir as ir

from cnnc.analysis.activations.nonlinear import is_gate, rectifies, saturation
from cnnc.layer_names import layer_name
from cnnc_passes.rewrite import constant, op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["Site", "find_sites"]

_KINDS: dict[str, str] = {
    **dict.fromkeys((*CONVOLUTIONS, "Gemm", "MatMul"), "linear"),
    **dict.fromkeys((*POOLINGS, "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"), "pool"),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN"),
        "normalization",
    ),
    **dict.fromkeys(
        (
            *("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "Elu", "Selu", "Celu", "Gelu", "Mish"),
            *("Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign"),
        ),
        "activation",
    ),
}
# One PyTorch layer, several nodes: Linear on tokens is MatMul + Add, GroupNorm is InstanceNormalization and these.
_GOES_ON: dict[str, tuple[str, ...]] = {"MatMul": ("Add",), "InstanceNormalization": ("Reshape", "Mul", "Add")}
_READS_VALUES_OF_FIRST_ONLY = ("CastLike", "Reshape", "Expand")


@dataclasses.dataclass(frozen=True)
class Site:
    """One layer and the value that it puts out.

    Attributes:
        name, op: as `cnnc.analysis.Layer` has them.
        kind: `linear`, `normalization`, `activation` or `pool`.
        value: the output.
        depth: how many linear layers are on the longest path from an input to here, this one included.
        channel_axis: 1 (maps, vectors) or -1 (tokens, which have their features last).
        rectifies: it is zero on a half-line, so its units can be dead.
        saturation: it is flat at or below the first and at or above the second; None where it is flat nowhere.
        decides: a gate (multiplied with something) or an output of the network: meant to saturate.
    """

    name: str
    op: str
    kind: str
    value: ir.Value
    depth: int
    channel_axis: int
    rectifies: bool
    saturation: tuple[float, float] | None
    decides: bool


def find_sites(graph: ir.Graph) -> list[Site]:
    """The layers in the graph's order; constants are initializers, functions are inlined.

    A MatMul or Gemm counts where one of its inputs is no data (attention's products are no layers), a ReduceMean
    where it is a global average pooling. A Sigmoid that only serves x * sigmoid(x) is no layer; the product is.
    """
    data = _data(graph)
    depths: dict[ir.Value, int] = {}
    sites = []
    for node in graph:
        is_layer = data.issuperset(node.outputs[:1]) and _is_layer(node, data)
        kind = _KINDS.get(op_name(node), "")
        before = max((depths.get(value, 0) for value in node.inputs if value is not None), default=0)
        depth = before + (is_layer and kind == "linear")
        depths |= dict.fromkeys(node.outputs, depth)
        if is_layer:
            sites.append(_site(node, kind, depth, data))
    return sites


def _site(node: ir.Node, kind: str, depth: int, data: Collection[ir.Value]) -> Site:
    value = _end(node, data)
    silu = _silu(node)
    return Site(
        name=layer_name(node),
        op="SiLU" if silu is not None else op_name(node),
        kind=kind,
        value=silu if silu is not None else value,
        depth=depth,
        channel_axis=_channel_axis(node),
        rectifies=rectifies(node),
        saturation=saturation(node) if silu is None else None,
        decides=value.is_graph_output() or is_gate(value),
    )


def _data(graph: ir.Graph) -> set[ir.Value]:
    """The values that depend on the values of the inputs; not those that depend on shapes, or on weights alone."""
    data = {value for value in graph.inputs if value.const_value is None}
    for node in graph:
        read = node.inputs[:1] if node.op_type in _READS_VALUES_OF_FIRST_ONLY else node.inputs
        if node.op_type not in ("Shape", "Size") and not data.isdisjoint(read):
            data.update(node.outputs)
    return data


def _is_layer(node: ir.Node, data: Collection[ir.Value]) -> bool:
    name = op_name(node)
    if name in ("MatMul", "Gemm"):
        return any(value not in data for value in node.inputs[:2])
    if name == "ReduceMean":
        return _pools_globally(node)
    return name in _KINDS


def _pools_globally(node: ir.Node) -> bool:
    """A mean over all axes behind the channels, of one or more."""
    x = node.inputs[0]
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("axes")
    if x is None or x.shape is None or axes is None:
        return False
    rank = len(x.shape)
    return rank > 2 and {int(axis) % rank for axis in axes} == set(range(2, rank))


def _end(node: ir.Node, data: Collection[ir.Value]) -> ir.Value:
    """The output of the layer that begins at `node`: behind its bias, where that is a node of its own."""
    value = node.outputs[0]
    for _ in _GOES_ON.get(node.op_type, ()):
        readers = [use.node for use in value.uses()]
        if len(readers) != 1 or value.is_graph_output() or readers[0].op_type not in _GOES_ON[node.op_type]:
            break
        others = [other for other in readers[0].inputs if other is not value]
        if any(other in data for other in others):
            break
        value = readers[0].outputs[0]
    return value


def _silu(node: ir.Node) -> ir.Value | None:
    """The product x * sigmoid(x) that a Sigmoid serves, if it serves nothing else."""
    uses = node.outputs[0].uses()
    if node.op_type != "Sigmoid" or len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    product = next(iter(uses)).node
    return product.outputs[0] if product.op_type == "Mul" and node.inputs[0] in product.inputs else None


def _channel_axis(node: ir.Node) -> int:
    """Where the layer that fed this one (or it itself) has its features."""
    at: ir.Node | None = node
    while at is not None and _KINDS.get(op_name(at)) in ("activation", None) and at.op_type != "Transpose":
        at = next((value.producer() for value in at.inputs if value is not None), None)
    return -1 if at is not None and at.op_type in ("MatMul", "LayerNormalization") else 1
