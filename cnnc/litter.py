"""What torch.onnx leaves in a graph, cleared: constants to fold, biases of zeros, views that change nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from cnnc_passes.rewrite import constant, producer

__all__ = ["clear_litter"]

# The PyTorch call that a node comes from; of a view with other strides the strides, where it starts at the first value.
_CALL = "pkg.torch.onnx.fx_node"
_STRIDES = re.compile(r"as_strided\.default\]\(args = \(%\w+, \[[^\]]*\], \[([\d, ]*)\](?:, 0)?\)")


def clear_litter(model: ir.Model, stored: set[str], learned: set[str]) -> None:
    """Fold what the exporter left to fold, and drop the zero biases that it invents for bias-free convolutions.

    Args:
        model: changed in place.
        stored: the names of the network's parameters and buffers.
        learned: of its parameters.
    """
    from onnxscript.optimizer import fold_constants_ir

    fold_constants_ir(model, should_fold=_each_value_once(stored, learned))
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            bias = node.inputs[2]
            values = constant(bias) if bias is not None and bias.name not in stored else None
            if values is not None and not values.any():
                node.resize_inputs(2)
        elif node.op_type == "Gather":
            _skip_same_view(node)
    common.RemoveUnusedNodesPass()(model)


def _each_value_once(stored: set[str], learned: set[str]) -> Callable[[ir.Node], bool | None]:
    """What folding leaves alone, so that what is stored can be counted afterwards.

    A parameter multiplied into another, or added to it, would be gone, as a gain in a standardized weight is; one
    that is read twice would be there twice, as the weight and its deviation; and what an InstanceNorm has per
    channel once for each item. (A Concat keeps every element, and Slices of an LSTM's gates are no copies.)
    """
    origins = {name: frozenset({name}) for name in learned}

    def should_fold(node: ir.Node) -> bool | None:
        values = {str(value.name): value for value in node.inputs if value is not None}
        read = {origins[name] for name in values if name in origins}
        together = frozenset(name for one in read for name in one)
        if node.op_type != "Concat" and any(one != together for one in read):
            return False
        if node.op_type != "Slice" and any(name in origins and len(one.uses()) > 1 for name, one in values.items()):
            return False
        if node.op_type == "Tile" and not stored.isdisjoint(values):
            return False
        if together:  # the constant that it becomes has the same name
            origins[str(node.outputs[0].name)] = together
        return None  # as it is done by default

    return should_fold


def _skip_same_view(gather: ir.Node) -> None:
    """`as_strided`, as PyTorch has it behind the pooling of a map with channels last, where no value changes place."""
    strides = _STRIDES.search(gather.metadata_props.get(_CALL, ""))
    vector = producer(gather.inputs[0], "Reshape")
    x, y = vector.inputs[0] if vector is not None else None, gather.outputs[0]
    if strides is None or x is None or x.shape is None or y.shape is None or y.is_graph_output():
        return
    if list(x.shape) == list(y.shape) and _is_row_major(list(x.shape), list(map(int, strides[1].split(",")))):
        ir.convenience.replace_all_uses_with(y, x)


def _is_row_major(shape: Sequence[int | ir.SymbolicDim], strides: Sequence[int]) -> bool:
    """Whether these strides are those of a contiguous array. Where there is but one place, any will do."""
    step: int | None = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 1:
            continue
        if stride != step:
            return False
        step = step * size if isinstance(size, int) else None  # before an open axis only a single place can follow
    return True
