"""analyze(): any source -> its graph -> what every layer costs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes import common

from cnnc.analysis.dense import as_convolution, as_fully_connected
from cnnc.analysis.geometry import ReceptiveField, receptive_fields, unread
from cnnc.analysis.inputs import batch_size, fix_input_shapes, require_known_inputs
from cnnc.analysis.kinds import kind_of
from cnnc.analysis.layer import FullyConnected, Layer
from cnnc.analysis.memory import memory_of
from cnnc.analysis.normalization import Normalization, normalizations
from cnnc.analysis.parameters import constants_of
from cnnc.analysis.result import Analysis, Totals
from cnnc.layer_names import layer_name
from cnnc_passes.costs import Cost, node_cost, total_cost
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.learned import measured_values
from cnnc_passes.operations import is_counted, read_inputs
from cnnc_passes.rewrite import op_name
from cnnc_passes.shapes import size_formula
from cnnc_passes.sizes import concrete_shape, with_batch_of_one
from cnnc_passes.windows import node_windows
from cnnc_runtime.metadata import Metadata

if TYPE_CHECKING:
    from torch import nn

    from cnnc.export import Example
    from cnnc.source import Source

__all__ = ["analyze", "analyze_model"]


def analyze(
    source: str | os.PathLike[str] | ir.Model | nn.Module,
    example: Example | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    input_shapes: Sequence[str] | None = None,
    arguments: Mapping[str, str] | None = None,
) -> Analysis:
    """Show what every layer of `source` costs, before any rewrite.

    Args:
        source: an .onnx file (PyTorch is not needed for it), a zoo name, `file.py:factory`, `pkg.mod:factory`,
            a module, or a graph.
        example: example inputs of a module: a tensor, a tuple, or a dict by parameter name.
        weights: a checkpoint to load into the module; costs do not depend on it.
        input_shapes: `["x:1,3,224,224"]`, for open sizes; the batch counts as 1 unless given here.
        arguments: keyword arguments of the factory, as text.

    Raises:
        CnncError: UsageError if a size is not known; else as `cnnc.compile`, for the source.
    """
    from cnnc.examples import parse_shapes
    from cnnc.onnx_file import load_onnx
    from cnnc.source import resolve

    shapes = parse_shapes(input_shapes or ())
    if isinstance(source, ir.Model):
        model, name = source, source.graph.name or "model"
    else:
        found = resolve(source, arguments=arguments, weights=weights)
        name = found.name
        model = load_onnx(found.path) if found.path is not None else _export(found, example, input_shapes or ())
    open_model = model if shapes else None
    if open_model is not None:
        model = model.clone()
    sizes = fix_input_shapes(model, shapes)
    return analyze_model(model, name=name, sizes=sizes, open_model=open_model)


def _export(source: Source, example: Example | None, input_shapes: Sequence[str]) -> ir.Model:
    from cnnc.examples import example_for
    from cnnc.export import export

    assert source.module is not None
    return export(source.module, example_for(source, shapes=input_shapes) if example is None else example)


def analyze_model(
    model: ir.Model, *, name: str, sizes: Mapping[str, int] | None = None, open_model: ir.Model | None = None
) -> Analysis:
    """Analyze a graph, which stays as it is; its weights are not read.

    Args:
        model: a graph, exported, rewritten or read from a file.
        name: what to call it.
        sizes: values of its symbolic sizes, `{"height": 224}`; an open batch counts as 1.
        open_model: the graph before its open sizes were settled, for expressions in them; None if none was.

    Raises:
        UsageError: an input has an open size.
        InvalidInputError: the shapes contradict each other, or the metadata is malformed.
    """
    sizes = with_batch_of_one(model, sizes)
    require_known_inputs(model, sizes)
    graph = _prepared(model)
    costs = {node: node_cost(node, sizes) for node in graph.graph.all_nodes()}
    cost = total_cost(costs)
    fields = receptive_fields(graph.graph, sizes)
    nodes = list(_layers(graph.graph))
    normed = normalizations(nodes, sizes)
    layers = tuple(
        _layer(node, costs[node], sizes, cost.macs, fields.get(node.outputs[0]), normed.get(node)) for node in nodes
    )
    batch = batch_size(graph, sizes)
    memory = memory_of(graph.graph, sizes, batch=batch, weight_bytes=cost.weight_bytes)
    return Analysis(
        name=name,
        batch=batch,
        totals=_totals(cost, memory.peak_bytes, layers),
        layers=layers,
        constants=constants_of(graph.graph),
        memory=memory,
        uncounted=dict(Counter(op_name(node) for node in nodes if not is_counted(node))),
        source=_source_cost(model),
        model=graph,
        open_model=graph if open_model is None else _prepared(open_model),
        sizes=dict(sizes),
    )


def _prepared(model: ir.Model) -> ir.Model:
    """A copy, which shares the weights: functions inlined, constants as initializers, shapes inferred."""
    graph = model.clone()
    common.InlinePass()(graph)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    InferShapes()(graph)
    return graph


def _layers(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes that compute on the data; not those that only compute shapes, or weights from weights."""
    activations = {value for value in graph.inputs if value.const_value is None}
    for node in graph:
        if not activations.isdisjoint(read_inputs(node)):
            activations.update(node.outputs)
            yield node


def _layer(
    node: ir.Node,
    cost: Cost,
    sizes: Mapping[str, int],
    all_macs: int,
    field: ReceptiveField | None,
    normalization: Normalization | None,
) -> Layer:
    return Layer(
        name=layer_name(node),
        output=str(node.outputs[0].name),
        op=op_name(node),
        kind=kind_of(node),
        input_shapes=tuple(
            concrete_shape(value, sizes) for value in node.inputs if value is not None and value.const_value is None
        ),
        output_shape=concrete_shape(node.outputs[0], sizes),
        size_formula=_size_formulas(node, sizes),
        params=cost.params,
        statistics=sum(value.const_value.size for value in measured_values(node) if value.const_value is not None),
        macs=cost.macs,
        flops=cost.flops,
        weight_bytes=cost.weight_bytes,
        read_bytes=cost.read_bytes,
        written_bytes=cost.written_bytes,
        macs_share=cost.macs / all_macs if all_macs else 0.0,
        fully_connected=as_fully_connected(node, sizes),
        convolution=as_convolution(node, sizes),
        receptive_field=field,
        unread=tuple(axis.text if axis.count else "" for axis in unread(node, sizes)),
        normalization=normalization,
    )


def _size_formulas(node: ir.Node, sizes: Mapping[str, int]) -> tuple[str, ...]:
    windows = node_windows(node)
    shape = concrete_shape(node.inputs[0], sizes) if windows and node.inputs[0] is not None else None
    if windows is None or shape is None or "output_shape" in node.attributes:
        return ()
    return tuple(map(size_formula, shape[2:], windows))


def _totals(cost: Cost, peak_bytes: int, layers: Sequence[Layer]) -> Totals:
    dense = [layer.fully_connected or FullyConnected(layer.params, layer.macs, layer.weight_bytes) for layer in layers]
    return Totals(
        params=cost.params,
        macs=cost.macs,
        flops=cost.flops,
        weight_bytes=cost.weight_bytes,
        read_bytes=cost.read_bytes,
        written_bytes=cost.written_bytes,
        peak_activation_bytes=peak_bytes,
        fully_connected=FullyConnected(
            params=sum(layer.params for layer in dense),
            macs=sum(layer.macs for layer in dense),
            weight_bytes=sum(layer.weight_bytes for layer in dense),
        ),
    )


def _source_cost(model: ir.Model) -> dict[str, int] | None:
    """The costs before the rewrites, which `cnnc compile` stores in its artifacts."""
    metadata = Metadata.from_props(model.metadata_props)
    before = (metadata.report or {}).get("before") if metadata is not None else None
    if not isinstance(before, dict):
        return None
    return {str(key): value for key, value in before.items() if isinstance(value, int)}
