"""out = floor((in + p0 + p1 - d*(k-1) - 1)/s) + 1, per axis: every value gets its shape and type. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.dims import Dims, dims_of
from cnnc_passes.onnx_inference import infer_by_onnx
from cnnc_passes.rewrite import op_name
from cnnc_passes.shape_rules import RULES
from cnnc_passes.shape_values import ShapeValues
from cnnc_runtime.errors import InvalidInputError

__all__ = ["InferShapes", "infer_node"]

_COMPARISONS = frozenset({"And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})


class InferShapes(ir.passes.InPlacePass):
    """Fill in the shape and type of every value, in one sweep, with the input sizes' symbols kept.

    Convolutions, poolings, matrix products and what moves their sizes about follow our own rules; any other
    operator follows onnx's inference, a node at a time, so that no weight is copied. What we compute replaces
    what the model declared, and what nobody can compute stays as it was declared. Shapes of the graph's inputs
    are given, and stay. Weights are not read.

    Raises InvalidInputError, naming the node, where sizes contradict: channels and groups, kernels larger than
    their input, impossible strides, shapes that do not broadcast. (onnx's own inference accepts the first.)
    Where the two disagree (AveragePool 3x3, stride 3, padding 1, ceil_mode on 2x2: 1x1, and 2x2 to onnx below
    opset 22), PyTorch and onnxruntime agree with ours.
    """

    name = "infer-shapes"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer; `modified` says whether any shape or type is new."""
        modified = [_describe_initializer(value) for value in model.graph.initializers.values()]
        values = ShapeValues()
        for node in model.graph.all_nodes():
            try:
                modified.append(_infer(node, values, model.opset_imports))
            except InvalidInputError as error:
                raise InvalidInputError(f"{op_name(node)} {node.name!r}: {error}") from error
            values.follow(node)
        return ir.passes.PassResult(model, any(modified))


def infer_node(node: ir.Node, opsets: dict[str, int], values: ShapeValues | None = None) -> None:
    """Fill in the shapes and types of one node's outputs, from those of its inputs.

    Args:
        node: any.
        opsets: of its model.
        values: the sizes in shape-like values, where a sweep over the graph followed them; else constants alone.

    Raises:
        InvalidInputError: sizes contradict.
    """
    for value in node.inputs:
        if value is not None:
            _describe_initializer(value)
    _infer(node, values or ShapeValues(), opsets)


def _describe_initializer(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None:
        return False
    return _assign(value, dims_of(tensor.shape), tensor.dtype)


def _infer(node: ir.Node, values: ShapeValues, opsets: dict[str, int]) -> bool:
    if node.op_type == "Constant":
        tensor = ir.convenience.get_const_tensor(node.outputs[0])
        return tensor is not None and _assign(node.outputs[0], dims_of(tensor.shape), tensor.dtype)
    rule = RULES.get(op_name(node))
    if rule is None:
        return infer_by_onnx(node, values, opsets, _assign)
    present = [value.shape for value in node.inputs if value is not None]
    shapes: list[Dims] = [() if value is None else dims_of(value.shape or ()) for value in node.inputs]
    try:
        dims = None if None in present else rule(node, shapes, values)
    except ValueError:  # left to onnx; or a symbol that is no expression, `input.1?`, which onnx carries
        return infer_by_onnx(node, values, opsets, _assign)
    modified = _assign(node.outputs[0], dims, _output_type(node))
    if node.op_type == "MaxPool" and len(node.outputs) > 1:
        modified |= _assign(node.outputs[1], dims, ir.DataType.INT64)
    return modified


def _output_type(node: ir.Node) -> ir.DataType | None:
    if node.op_type in _COMPARISONS:
        return ir.DataType.BOOL
    source = node.inputs[1 if node.op_type == "Where" else 0]
    return source.dtype if source is not None else None


def _assign(value: ir.Value, dims: Dims | None, dtype: ir.DataType | None) -> bool:
    """Set what is known; True if it is new. An unknown size leaves the declared one."""
    modified = False
    if dims is not None:
        declared = value.shape if value.shape is not None and len(value.shape) == len(dims) else [None] * len(dims)
        shape = ir.Shape([old if _unknown(new) else new for new, old in zip(dims, declared, strict=True)])
        if value.shape is None or shape != value.shape:
            value.shape, modified = shape, True
    if dtype is not None and dtype != value.dtype:
        value.type, modified = ir.TensorType(dtype), True
    return modified


def _unknown(size: int | ir.SymbolicDim) -> bool:
    return not isinstance(size, int) and size.value is None
