"""A few nodes of a graph as a model of their own, at sizes just large enough to have borders and an inside."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from cnnc_passes.infer_shapes import infer_node
from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS, node_windows

__all__ = ["in_order", "inputs_of", "sizes_for", "to_model"]

_OPEN = 8  # for an open axis of nodes whose sizes cannot be shrunk
# Operators that treat every place alike, so that a small feature map shows all that a large one does.
_LOCAL = (
    CONVOLUTIONS
    | POOLINGS
    | {"BatchNormalization", "GlobalAveragePool", "GlobalMaxPool", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid"}
    | {"Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Gelu", "Softplus", "Erf", "Exp", "Sqrt", "Neg", "Abs"}
    | {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Identity", "Cast", "Dropout"}
)
_Sizes = dict[ir.Value, tuple[int, ...]]


def inputs_of(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """The values that the nodes read and do not compute, constants left out, in the order of reading."""
    computed = {output for node in nodes for output in node.outputs}
    read = [value for node in nodes for value in node.inputs if value is not None]
    return [v for v in dict.fromkeys(read) if v not in computed and (v.const_value is None or v.is_graph_input())]


def to_model(
    nodes: Sequence[ir.Node], outputs: Sequence[ir.Value], names: Mapping[ir.Value, str], opsets: Mapping[str, int]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The nodes as a model, and the constants that it takes as inputs too (so that none is serialized).

    Args:
        nodes: in order.
        outputs: which of their results to give.
        names: of the inputs. Everything else gets a name of its own: names in a graph under change may clash.
        opsets: of the whole model.
    """
    every = dict(names)
    constants: dict[str, np.ndarray] = {}

    def name_of(value: ir.Value | None) -> str:
        if value is None:
            return ""
        if value not in every:
            every[value] = f"v{len(every)}"
            if value.const_value is not None:
                constants[every[value]] = value.const_value.numpy()
        return every[value]

    protos = []
    for node in nodes:
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            raise ValueError(f"{node.op_type} has a subgraph")
        proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
        proto.input[:] = [name_of(value) for value in node.inputs]
        proto.output[:] = [name_of(value) for value in node.outputs]
        proto.attribute.extend(ir.to_proto(node).attribute)
        protos.append(proto)
    results = [name_of(value) for value in outputs]
    typed = {every[value]: value for value in every}
    graph = onnx.helper.make_graph(
        protos,
        "subgraph",
        [_value_info(name, typed[name]) for name in (*names.values(), *constants)],
        [_value_info(name, typed[name]) for name in results],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in {"com.microsoft": 1, **opsets}.items()]
    return onnx.helper.make_model(graph, opset_imports=imports), constants


def _value_info(name: str, value: ir.Value) -> onnx.ValueInfoProto:
    dtype = value.const_value.dtype if value.const_value is not None else value.dtype
    return onnx.helper.make_tensor_value_info(name, int(dtype or ir.DataType.FLOAT), None)


def in_order(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes with each after those whose results it reads."""
    left, done = list(nodes), list[ir.Node]()
    while left:
        waiting = {output for node in left for output in node.outputs}
        ready = [node for node in left if not waiting & set(node.inputs)]
        if not ready:
            raise ValueError("the nodes read each other in a circle")
        done += ready
        left = [node for node in left if node not in ready]
    return done


def sizes_for(
    nodes: Sequence[ir.Node], external: Sequence[ir.Value], static: Collection[int] = ()
) -> tuple[_Sizes, bool]:
    """A shape per input, and whether its first axis may hold any number of items.

    Where every node is local the spatial axes shrink, but for those in `static`: to a few strides beyond the widest
    window, of the same remainder by the strides as the real size.
    """
    if all(op_name(node) in _LOCAL for node in nodes):
        small = _shrunk(nodes, external, static)
        if small is not None:
            return small, True
    return {value: _full(value) for value in external}, False


def _full(value: ir.Value) -> tuple[int, ...]:
    if value.shape is None:
        raise ValueError(f"the rank of {value.name} is unknown")
    return tuple(n if isinstance(n, int) else 2 if axis == 0 else _OPEN for axis, n in enumerate(value.shape))


def _shrunk(nodes: Sequence[ir.Node], external: Sequence[ir.Value], static: Collection[int]) -> _Sizes | None:
    """None where the inputs' sizes do not follow from that of the largest."""
    maps = [value for value in external if value.shape is not None and len(value.shape) > 2]
    if not maps or len(maps) < len(external):
        return None
    root = max(maps, key=lambda value: math.prod(_full(value)[2:]))
    known: dict[ir.Value, tuple[int, ...]] = {root: (1, *_full(root)[1:2], *_small(nodes, _full(root)[2:], static))}
    for node in nodes:
        inputs = [value for value in node.inputs if value is not None and value.const_value is None]
        for value in inputs:
            if value not in known:
                like = next((other for other in inputs if other in known), None)
                if like is None or value.shape is None or like.shape is None or len(value.shape) != len(like.shape):
                    return None
                known[value] = _alike(_full(value), _full(like), known[like])
        for output, shape in zip(node.outputs, _inferred(node, known), strict=False):
            known[output] = shape
    return {value: known[value] for value in external} if set(external) <= set(known) else None


def _alike(full: tuple[int, ...], like: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, ...]:
    """`full` shrunk as its companion was: axes of 1 are broadcast and stay."""
    batch_and_channels = (1, full[1])
    spatial = [1 if n == 1 else s if n == m else n for n, m, s in zip(full[2:], like[2:], small[2:], strict=True)]
    return (*batch_and_channels, *spatial)


def _small(nodes: Sequence[ir.Node], sizes: Sequence[int], static: Collection[int]) -> list[int]:
    windows = [found for node in nodes if (found := node_windows(node)) is not None and len(found) == len(sizes)]
    small = []
    for axis, size in enumerate(sizes):
        along = [window[axis] for window in windows]
        stride = math.prod(window.stride for window in along)
        reach = sorted((window.span - 1 for window in along), reverse=True)[:2]  # of two in a row, or of the widest
        enough = sum(reach) + 2 * stride
        small.append(size if size <= enough or axis + 2 in static else enough + (size - enough) % stride)
    return small


def _inferred(node: ir.Node, known: Mapping[ir.Value, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The output shapes of a copy of the node on inputs of the known shapes."""
    inputs = [
        value
        if value is None or value not in known
        else ir.Value(name=value.name, type=value.type, shape=ir.Shape(known[value]))
        for value in node.inputs
    ]
    copy = ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs))
    for index, output in enumerate(copy.outputs):
        output.name = f"out{index}"
    try:
        infer_node(copy, node.graph.opset_imports if node.graph is not None else {"": onnx.defs.onnx_opset_version()})
    finally:
        for index in range(len(copy.inputs)):
            copy.replace_input_with(index, None)  # the constants must not remember it as a reader
    return [output.shape.numpy() if output.shape is not None else () for output in copy.outputs]
