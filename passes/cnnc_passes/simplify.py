"""f(constants) => their value, and shape arithmetic => the shape: onnxsim's folding. Exact.

Only folding is asked of onnxsim. Its fusions (BatchNormalization, Pad, bias) are laws of their own here,
with conditions of their own; and an initializer that a caller may override stays as it is.
"""

from __future__ import annotations

from typing import cast

import onnx
import onnx_ir as ir

from cnnc_passes.rewrite import constant, op_name
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["Simplify"]

# onnxsim gets a skeleton: weights that can only be read as weights become inputs of it, so that neither
# time nor memory depends on them. Weights that are computed from others (standardised, say) stay constants.
_WEIGHT_READERS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "com.microsoft::FusedConv"}
)
_SMALL = 64  # elements: below this a constant may take part in shape arithmetic

_SKIPPED = [
    "fuse_bn_into_conv",
    "fuse_add_bias_into_conv",
    "fuse_pad_into_conv",
    "fuse_pad_into_pool",
    "fuse_matmul_add_bias_into_gemm",
    "fuse_transpose_into_gemm",
    "fuse_qkv",
    "fuse_consecutive_log_softmax",
    "eliminate_nop_with_unit",  # drop-noops: with the sign of zero kept
    "eliminate_nop_pad",
    "rewrite_where",
]


class Simplify(ir.passes.InPlacePass):
    """Constant and shape-subgraph folding by onnxsim, behind one adapter; large weights stay untouched."""

    name = "simplify"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold; `modified` says whether any node was folded away."""
        if not _has_work(model.graph):  # importing onnxsim costs a second: not for nothing
            return ir.passes.PassResult(model, False)
        skeleton = model.clone()
        weights = _take_out_weights(skeleton.graph)
        ir.external_data.load_to_model(skeleton)  # the small ones that are left
        simplified = ir.from_proto(_onnxsim(ir.to_proto(skeleton)))
        if _census(simplified.graph) == _census(model.graph):
            return ir.passes.PassResult(model, False)
        _put_back_weights(simplified.graph, weights)
        _put_back_provenance(simplified.graph, model.graph)
        model.graph = simplified.graph
        return ir.passes.PassResult(model, True)


def _has_work(graph: ir.Graph) -> bool:
    """True if some node computes on constants alone, or on a shape."""
    for node in graph.all_nodes():
        inputs = [value for value in node.inputs if value is not None]
        if node.op_type in ("Shape", "Size") or all(constant(value) is not None for value in inputs):
            return True
    return False


def _take_out_weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    """Turn large initializers that are only read as weights into graph inputs; their tensors by name."""
    weights: dict[str, ir.TensorProtocol] = {}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        overridable = value.is_graph_input() or value.is_graph_output()
        if tensor is None or overridable or tensor.size <= _SMALL or not _only_a_weight(value):
            continue
        weights[name] = tensor
        del graph.initializers[name]
        value.const_value = None
        graph.inputs.append(value)
    return weights


def _only_a_weight(value: ir.Value) -> bool:
    return all(use.idx >= 1 and op_name(use.node) in _WEIGHT_READERS for use in value.uses())


def _put_back_weights(graph: ir.Graph, weights: dict[str, ir.TensorProtocol]) -> None:
    for value in [value for value in graph.inputs if value.name in weights]:
        graph.inputs.remove(value)
        value.const_value = weights[str(value.name)]
        graph.register_initializer(value)


def _put_back_provenance(graph: ir.Graph, original: ir.Graph) -> None:
    """Give the nodes that onnxsim kept their metadata (the PyTorch module they came from) again."""
    known = {output.name: node for node in original.all_nodes() for output in node.outputs}
    for node in graph.all_nodes():
        source = known.get(node.outputs[0].name)
        if source is not None and source.op_type == node.op_type:
            node.metadata_props.update(source.metadata_props)


def _census(graph: ir.Graph) -> list[tuple[str, int]]:
    return [(op_name(node), len(node.inputs)) for node in graph.all_nodes()]


def _onnxsim(proto: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    try:
        simplified, _ = onnxsim.simplify(
            proto,
            skipped_optimizers=_SKIPPED,
            mutable_initializer=True,  # an initializer that is also an input may be overridden: not a constant
            certify=False,
            tensor_size_threshold="16MB",  # folding must not blow a small graph up
        )
    except Exception as error:
        raise UnsupportedModelError(f"onnxsim could not fold the model: {error}") from error
    return cast(onnx.ModelProto, simplified)
