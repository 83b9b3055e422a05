"""A linear operator as arrays: y = W*x + b for Conv, ConvTranspose and Gemm; a MatMul (and its Add) is a Gemm."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Decline, constant, has_one_reader, is_stored, new_constant, op_name, producer

__all__ = ["LINEAR", "Linear", "fits", "linear_before", "linear_of"]

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOAT16_LIMIT = 6e4  # the largest float16 is 65504; beyond this a folded weight is near overflow
_FLOAT16_NORMAL = 6.2e-5  # below this float16 loses its 11 bits one by one


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear operator whose weight and bias are constants.

    Attributes:
        nodes: what computes it, in order: one node, or a MatMul and the Add after it.
        op: Conv, ConvTranspose, or Gemm (MatMul too).
        attributes: those of `op`.
        inputs: the data, the weight, and the bias or None, as values.
        weight: as stored: (C_out, C_in/groups, *kernel) of Conv, (C_in, C_out/groups, *kernel) of ConvTranspose,
            (C_in, C_out) of Gemm, the other way round with transB.
        bias: float64, (C_out,): what is added to each output; Gemm's beta is in it.
    """

    nodes: tuple[ir.Node, ...]
    op: str
    attributes: dict[str, ir.Attr]
    inputs: tuple[ir.Value, ir.Value, ir.Value | None]
    weight: np.ndarray
    bias: np.ndarray

    @property
    def groups(self) -> int:
        """1 where the operator has none."""
        return self.attributes["group"].as_int() if "group" in self.attributes else 1

    @property
    def alpha(self) -> float:
        """Gemm's factor of the product; 1 where the operator has none."""
        return self.attributes["alpha"].as_float() if "alpha" in self.attributes else 1.0

    @property
    def transposed(self) -> bool:
        """True for a Gemm whose weight is (C_out, C_in)."""
        return "transB" in self.attributes and bool(self.attributes["transB"].as_int())

    @property
    def in_channels(self) -> int:
        """C_in."""
        if self.op == "Conv":
            return int(self.weight.shape[1]) * self.groups
        return int(self.weight.shape[1 if self.transposed else 0])

    @property
    def out_channels(self) -> int:
        """C_out."""
        if self.op == "ConvTranspose":
            return int(self.weight.shape[1]) * self.groups
        return int(self.weight.shape[0 if self.op == "Conv" or self.transposed else 1])

    def along_outputs(self, factor: np.ndarray) -> np.ndarray:
        """`factor` (C_out,), shaped to multiply the weight's output channels."""
        if self.op == "Gemm":
            return factor[:, None] if self.transposed else factor
        kernel_axes = (1,) * (self.weight.ndim - 2)
        if self.op == "Conv":
            return factor.reshape(-1, 1, *kernel_axes)
        return self._per_group(factor).reshape(*self.weight.shape[:2], *kernel_axes)

    def along_inputs(self, factor: np.ndarray) -> np.ndarray:
        """`factor` (C_in,), shaped to multiply the weight's input channels."""
        if self.op == "Gemm":
            return factor if self.transposed else factor[:, None]
        kernel_axes = (1,) * (self.weight.ndim - 2)
        if self.op == "ConvTranspose":
            return factor.reshape(-1, 1, *kernel_axes)
        return self._per_group(factor).reshape(*self.weight.shape[:2], *kernel_axes)

    def summed_over(self, shift: np.ndarray) -> np.ndarray:
        """What inputs of `shift` (C_in,) everywhere add to each output, (C_out,): Conv without padding, and Gemm."""
        products = self.weight.astype(np.float64) * self.along_inputs(shift)
        outputs = 0 if self.op == "Conv" or self.transposed else 1
        return np.asarray(
            self.alpha * products.sum(axis=tuple(axis for axis in range(products.ndim) if axis != outputs))
        )

    def with_constants(self, output: ir.Value, weight: np.ndarray | None, bias: np.ndarray | None) -> ir.Node | Decline:
        """The operator with another weight and bias; what is None stays the value that it is.

        Args:
            output: the value that the result will serve.
            weight: float64, as stored; cast back to the weight's own type.
            bias: float64, (C_out,).
        """
        dtype = self.weight.dtype
        if not all(array is None or fits(array, dtype) for array in (weight, bias)):
            return Decline(f"a folded value does not fit {dtype}")
        if weight is not None and dtype == np.float16 and 0 < np.max(np.abs(weight), initial=0.0) < _FLOAT16_NORMAL:
            return Decline("the folded weight would vanish in float16")
        data, w, b = self.inputs
        attributes = dict(self.attributes)
        if weight is not None:
            w = new_constant(output, "weight", weight.astype(dtype))
        is_matmul = self.nodes[0].op_type == "MatMul"  # it has no bias, and a Gemm of opset 7 to 10 must
        if bias is not None and (b is not None or np.any(bias) or is_matmul):
            b = new_constant(output, "bias", bias.astype(dtype))
            attributes.pop("beta", None)  # it is in the bias now
        return ir.node(
            self.op,
            [data, w, *([b] if b is not None else [])],
            attributes,
            name=self.nodes[0].name,
            metadata_props=dict(self.nodes[0].metadata_props),
        )

    def _per_group(self, factor: np.ndarray) -> np.ndarray:
        """For the axis that a group divides: group g of the first axis goes with group g of `factor`."""
        return np.repeat(factor.reshape(self.groups, -1), self.weight.shape[0] // self.groups, axis=0)


def linear_before(value: ir.Value | None) -> Linear | Decline | None:
    """The linear operator that computes `value` and whose results nothing else reads; None if another does."""
    add = producer(value, "Add")
    product = next((node for side in add.inputs if (node := producer(side, "MatMul"))), None) if add else None
    linear = linear_of(product, add) if product and add else linear_of(value.producer()) if value is not None else None
    if isinstance(linear, Linear):
        for node in linear.nodes:
            if not has_one_reader(node.outputs[0]):
                return Decline(f"another node reads the {node.op_type}")
    return linear


def linear_of(node: ir.Node | None, add: ir.Node | None = None) -> Linear | Decline | None:
    """`node` (and the `add` after a MatMul) as a linear operator; None if it is not one."""
    if node is None or op_name(node) not in LINEAR or node.inputs[0] is None or node.inputs[1] is None:
        return None
    weight = constant(node.inputs[1])
    if node.op_type == "MatMul" and not _is_matrix_product(node):
        return None
    third = node.inputs[2] if len(node.inputs) > 2 else None
    if add is not None:
        third = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
        if not is_stored(third):
            return None  # the sum of two results
    bias = np.zeros(()) if third is None else constant(third)
    if weight is None or bias is None:
        return Decline("the weight or bias is not constant")
    op = "Gemm" if node.op_type == "MatMul" else node.op_type
    linear = Linear(
        (node,) if add is None else (node, add),
        op,
        dict(node.attributes),
        (node.inputs[0], node.inputs[1], third),
        weight,
        bias,
    )
    outputs = linear.out_channels
    if bias.shape not in {(), (1,), (outputs,), (1, 1), (1, outputs)}:
        return Decline(f"the bias of shape {bias.shape} is not per output channel")
    wide = bias.reshape(-1).astype(np.float64) * node.attributes.get_float("beta", 1.0)
    return dataclasses.replace(linear, bias=np.broadcast_to(wide, (outputs,)))


def fits(array: np.ndarray, dtype: np.dtype) -> bool:
    """True if every element is finite and within the range of `dtype`."""
    limit = _FLOAT16_LIMIT if dtype == np.float16 else float(np.finfo(np.float32).max)
    largest = float(np.maximum(np.max(array, initial=0.0), -np.min(array, initial=0.0)))
    return math.isfinite(largest) and largest <= limit


def _is_matrix_product(node: ir.Node) -> bool:
    """True at rank 2, where MatMul is Gemm and its columns are channels."""
    return all(value is not None and value.shape is not None and len(value.shape) == 2 for value in node.inputs)
