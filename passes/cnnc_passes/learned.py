"""Which of a node's inputs training learned: told from the exporter's record, and where there is none, the operator."""

from __future__ import annotations

import functools
import re

import onnx_ir as ir

from cnnc_passes.rewrite import op_name, producer

__all__ = ["learned_values", "measured_values"]

# The inputs that are learned, by position. BatchNormalization's mean and variance (3, 4) are measured.
_LEARNED = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "com.microsoft::FusedConv": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),  # an embedding
    "RNN": (1, 2, 3),
    "GRU": (1, 2, 3),
    "LSTM": (1, 2, 3, 7),
}
_FURTHEST = 96  # nodes between a weight as stored and as used (transposed, dequantized, standardized)
_ELEMENTWISE = frozenset({"Mul", "Add", "Sub", "Div"})
# What torch.onnx writes about an exported graph: `p_fc_weight: PARAMETER target='fc.weight'`, and BUFFER and others.
_SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
_ENTRY = re.compile(r"^\w+: (\w+) target='([^']+)'", re.MULTILINE)
# The PyTorch call that a node comes from, `conv2d.default](args = (%x, %p_conv_weight))`: `%p_` is a parameter.
_CALL = "pkg.torch.onnx.fx_node"
_INVENTED = re.compile(r"val_\d+")  # the name of a value that is none of PyTorch's


def learned_values(node: ir.Node) -> list[ir.Value]:
    """The constants behind the learned inputs of `node`, also where they are computed from others.

    Where the exporter recorded which constants are parameters and which are buffers, that decides. Elsewhere a
    constant is learned

    - in the place of a weight, bias, scale or slope, unless the exporter invented it: the ones and zeros of a
      normalization that has no scale and shift, and of the InstanceNormalization in a GroupNorm;
    - as a vector added to a matrix product (the bias of an `nn.Linear` on sequences);
    - as one value per channel that multiplies an activation, or is added to it: a layer scale, or the scale and
      shift of a GroupNorm. On the graph's input such a constant is the mean or deviation of the pixels.
    """
    operator = op_name(node)
    slots = range(len(node.inputs)) if operator in _ELEMENTWISE else _LEARNED.get(operator, ())
    found: list[ir.Value] = []
    for slot in slots:
        constants = _behind(node.inputs[slot]) if slot < len(node.inputs) else []
        fitting = _is_learned_operand(node, slot, constants) if operator in _ELEMENTWISE else _is_weighted(node)
        for value in constants:
            kind = _kind(node, value)
            if kind == "PARAMETER" or (kind is None and fitting and _has_axes(value) and not _is_invented(node, value)):
                found.append(value)
    return list(dict.fromkeys(found))


def measured_values(node: ir.Node) -> list[ir.Value]:
    """The constants behind the mean and the variance of a BatchNormalization: measured in training, not learned.

    They may be repeated for each item, as exporters write an InstanceNorm that tracks its statistics.
    """
    if node.op_type != "BatchNormalization":
        return []
    return list(dict.fromkeys(value for measured in node.inputs[3:5] for value in _behind(measured)))


def _is_learned_operand(node: ir.Node, slot: int, constants: list[ir.Value]) -> bool:
    """Whether an elementwise node reads, in `slot`, what looks like a bias, a layer scale or a shift."""
    if node.op_type not in ("Mul", "Add") or sum(map(_has_axes, constants)) != 1:
        return False
    other = node.inputs[1 - slot]
    if node.op_type == "Add" and producer(other, "MatMul"):
        return True
    return _is_per_channel(node.inputs[slot], other) and not _is_raw(other)


def _is_per_channel(constant: ir.Value | None, x: ir.Value | None) -> bool:
    """One axis longer than 1, the activation's axis 1; or its last where the constant has no other."""
    shape = None if constant is None else _sizes(constant)
    if shape is None or x is None or x.shape is None or sum(size != 1 for size in shape) != 1:
        return False
    axis = next(index for index, size in enumerate(shape) if size != 1) - len(shape)  # from the back
    return axis + len(x.shape) == 1 or len(shape) == 1


def _is_raw(value: ir.Value | None) -> bool:
    """Whether nothing between the graph's inputs and `value` has weights: pixels, normalized or not."""
    pending = [value]
    for _ in range(_FURTHEST):
        if not pending:
            return True
        current = pending.pop()
        node = None if current is None else current.producer()
        if node is not None and op_name(node) in _LEARNED and op_name(node) != "Gather":
            return False
        if node is not None:
            pending += node.inputs
    return False


def _is_weighted(node: ir.Node) -> bool:
    """Not the InstanceNormalization that exporters make of a GroupNorm: its scale and shift are ones and zeros."""
    if node.op_type != "InstanceNormalization" or producer(node.inputs[0], "Reshape") is None:
        return True
    return not any(use.node.op_type == "Reshape" for use in node.outputs[0].uses())


def _kind(node: ir.Node, value: ir.Value) -> str | None:
    """What the exporter recorded `value` as: PARAMETER, BUFFER, CONSTANT_TENSOR; None if it did not."""
    record = node.graph.metadata_props.get(_SIGNATURE) if isinstance(node.graph, ir.Graph) else None
    return _kinds(record).get(str(value.name)) if record else None


@functools.lru_cache(maxsize=4)  # a graph's nodes all ask
def _kinds(record: str) -> dict[str, str]:
    return {target: kind for kind, target in _ENTRY.findall(record)}


def _is_invented(node: ir.Node, value: ir.Value) -> bool:
    call = node.metadata_props.get(_CALL)
    return call is not None and "%p_" not in call and _INVENTED.fullmatch(str(value.name)) is not None


def _behind(value: ir.Value | None) -> list[ir.Value]:
    """The constants, shapes and masks apart, from which `value` is computed; none if an input is."""
    found: list[ir.Value] = []
    pending = [value]
    for _ in range(_FURTHEST):
        current = pending.pop() if pending else None
        if current is None:
            if not pending:
                return found
        elif current.const_value is not None:
            if current.const_value.dtype not in (ir.DataType.INT64, ir.DataType.BOOL):
                found.append(current)
        elif (node := current.producer()) is None or not node.inputs:
            return []
        elif op_name(node) not in ("Shape", "Size"):  # a size holds no values of an input
            pending += node.inputs[:1] if node.op_type == "CastLike" else node.inputs
    return []


def _has_axes(value: ir.Value) -> bool:
    """Not an epsilon or another number: those are learned only where the exporter says so."""
    return value.const_value is not None and len(value.const_value.shape) > 0


def _sizes(value: ir.Value) -> tuple[int, ...] | None:
    shape = value.const_value.shape if value.const_value is not None else value.shape
    return shape.numpy() if isinstance(shape, ir.Shape) and shape.is_static() else None
