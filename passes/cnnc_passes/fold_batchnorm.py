"""BatchNorm(Conv(x, W, b)) => Conv(x, W*s, (b - mean)*s + beta), s = gamma / sqrt(var + eps). Equal up to rounding."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, has_one_reader, new_constant, producer

__all__ = ["FoldBatchNorm"]

_FLOAT16_LIMIT = 6e4  # the largest float16 is 65504; beyond this a folded weight is near overflow


class FoldBatchNorm(Rewrite):
    """Fold an inference BatchNormalization into the Conv, ConvTranspose or Gemm before it.

    Declines if another node reads the convolution, a parameter is not constant, training_mode is
    set, the statistics are per position (spatial=0, before opset 9), a variance is negative, a Gemm's
    bias is not per output, or a folded value does not fit the weight's type.
    """

    roots = frozenset({"BatchNormalization"})

    def rewrite(self, bn: ir.Node) -> Change | Decline | None:
        """Answer for one BatchNormalization."""
        linear = producer(bn.inputs[0], "Conv", "ConvTranspose", "Gemm")
        if linear is None:
            return None
        if not has_one_reader(linear.outputs[0]):
            return Decline(f"another node reads the {linear.op_type}")
        if bn.attributes.get_int("training_mode", 0):
            return Decline("training_mode is set")
        if not bn.attributes.get_int("spatial", 1):
            return Decline("statistics are per position (spatial=0)")
        if any(output.uses() or output.is_graph_output() for output in bn.outputs[1:]):
            return Decline("its running statistics are read")
        weight, bias = constant(linear.inputs[1]), _bias(linear)
        parameters = [constant(value) for value in bn.inputs[1:5]]
        if weight is None or bias is None or any(p is None for p in parameters):
            return Decline("a weight, bias or statistic is not constant")

        gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters if p is not None)
        variance = variance + bn.attributes.get_float("epsilon", 1e-5)
        if not np.all(variance > 0):
            return Decline("variance + epsilon is not positive")
        scale = gamma / np.sqrt(variance)  # in float64: the fold adds one rounding, not four
        if (bias.ndim and bias.size not in (1, scale.size)) or bias.shape not in _per_output(scale.size):
            return Decline(f"the bias of shape {bias.shape} is not per output channel")
        new_bias = (bias.reshape(-1) - mean) * scale + beta
        new_weight = weight.astype(np.float64) * _along_outputs(scale, linear, weight)
        if not (_fits(new_weight, weight.dtype) and _fits(new_bias, weight.dtype)):
            return Decline(f"a folded value does not fit {weight.dtype}")

        output = bn.outputs[0]
        w = new_constant(output, "weight", new_weight.astype(weight.dtype))
        b = new_constant(output, "bias", new_bias.astype(weight.dtype))
        attributes = {k: v for k, v in linear.attributes.items() if k != "beta"}  # Gemm: beta is in the bias now
        folded = ir.node(
            linear.op_type,
            [linear.inputs[0], w, b],
            attributes,
            name=linear.name,
            metadata_props=dict(linear.metadata_props),
        )
        return Change([linear, bn], [folded])


def _bias(linear: ir.Node) -> np.ndarray | None:
    """The constant that the node adds to its output, zero where it has none; None if not constant."""
    value = linear.inputs[2] if len(linear.inputs) > 2 else None
    if value is None:
        return np.zeros(())
    bias = constant(value)
    if bias is None:
        return None
    factor = linear.attributes.get_float("beta", 1.0) if linear.op_type == "Gemm" else 1.0
    return bias.astype(np.float64) * factor


def _per_output(channels: int) -> set[tuple[int, ...]]:
    return {(), (1,), (channels,), (1, 1), (1, channels)}


def _along_outputs(scale: np.ndarray, linear: ir.Node, weight: np.ndarray) -> np.ndarray:
    """`scale` (one factor an output channel) shaped to multiply `weight` along its output axis."""
    if linear.op_type == "Gemm":
        return scale[:, None] if linear.attributes.get_int("transB", 0) else scale
    kernel_axes = (1,) * (weight.ndim - 2)
    if linear.op_type == "Conv":  # (C_out, C_in/groups, *kernel)
        return scale.reshape(-1, 1, *kernel_axes)
    # ConvTranspose: (C_in, C_out/groups, *kernel); group g of the inputs makes group g of the outputs
    groups = linear.attributes.get_int("group", 1)
    per_input = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, axis=0)
    return per_input.reshape(weight.shape[0], weight.shape[1], *kernel_axes)


def _fits(array: np.ndarray, dtype: np.dtype) -> bool:
    limit = _FLOAT16_LIMIT if dtype == np.float16 else float(np.finfo(np.float32).max)
    largest = float(np.max(np.abs(array), initial=0.0))
    return math.isfinite(largest) and largest <= limit
