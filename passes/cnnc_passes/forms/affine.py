"""A per-channel affine map as arrays: y = scale*x + shift for Mul, Div, Add, Sub, Neg and BatchNormalization."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Decline, constant, has_one_reader, is_stored, op_name

__all__ = ["AFFINE", "Affine", "affine_before", "affine_of", "per_channel"]

AFFINE = frozenset({"Add", "BatchNormalization", "Div", "Mul", "Neg", "Sub"})


@dataclasses.dataclass(frozen=True)
class Affine:
    """y = scale*x + shift along one axis.

    Attributes:
        nodes: what computes it, in order.
        x: the input.
        scale, shift: float64, (C,), C the size of x along the axis.
    """

    nodes: tuple[ir.Node, ...]
    x: ir.Value
    scale: np.ndarray
    shift: np.ndarray

    def after(self, inner: Affine) -> Affine:
        """`inner` first, then this map."""
        return Affine(
            inner.nodes + self.nodes,
            inner.x,
            self.scale * inner.scale,
            self.scale * inner.shift + self.shift,
        )


def affine_before(value: ir.Value | None, axis: int = 1) -> Affine | Decline | None:
    """The longest chain of affine maps that ends in `value`, whose results nothing else reads; None if there is none.

    Args:
        value: what the chain computes.
        axis: that of the channels.
    """
    whole: Affine | None = None
    while value is not None and (node := value.producer()) is not None:
        step = affine_of(node, axis)
        if whole is None and isinstance(step, Affine) and not has_one_reader(value):
            return Decline("another node reads the affine map")
        if not isinstance(step, Affine) or not has_one_reader(value):
            return step if whole is None else whole
        whole = step if whole is None else whole.after(step)
        value = step.x
    return whole


def affine_of(node: ir.Node, axis: int = 1) -> Affine | Decline | None:
    """`node` as an affine map; None if it is not one, as where it combines two results.

    Declines if a parameter may be overridden, is not finite, or varies along another axis than the channels'.
    """
    if op_name(node) not in AFFINE or node.inputs[0] is None:
        return None
    affine = _read(node, axis)
    if isinstance(affine, Affine) and not (np.all(np.isfinite(affine.scale)) and np.all(np.isfinite(affine.shift))):
        return Decline("the scale or shift is not finite")
    return affine


def per_channel(array: np.ndarray, x: ir.Value, axis: int = 1) -> np.ndarray | None:
    """`array` as float64 (C,), if it broadcasts into x and varies along `axis` alone; else None."""
    if x.shape is None or not axis < len(x.shape) or array.ndim > len(x.shape):
        return None
    channels = x.shape[axis]
    shape = (1,) * (len(x.shape) - array.ndim) + array.shape
    others = shape[:axis] + shape[axis + 1 :]
    if not isinstance(channels, int) or shape[axis] not in (1, channels) or any(size != 1 for size in others):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))


def _read(node: ir.Node, axis: int) -> Affine | Decline | None:
    if node.op_type == "BatchNormalization":
        return _batchnorm(node) if axis == 1 else None
    if node.op_type == "Neg":
        x = node.inputs[0]
        one = None if x is None else per_channel(np.ones(()), x, axis)
        return None if x is None or one is None else Affine((node,), x, -one, np.zeros_like(one))
    side = next((i for i in (1, 0) if is_stored(node.inputs[i])), None)
    if side is None or (node.op_type == "Div" and side == 0):
        return None
    x, value = node.inputs[1 - side], node.inputs[side]
    if x is None or is_stored(x):
        return None
    array = constant(value)
    if array is None:
        return Decline("the constant may be overridden by the caller")
    channels = per_channel(array, x, axis)
    if channels is None:
        return Decline(f"the constant of shape {array.shape} is not per channel")
    one, zero = np.ones_like(channels), np.zeros_like(channels)
    if node.op_type == "Mul":
        return Affine((node,), x, channels, zero)
    if node.op_type == "Div":
        return Affine((node,), x, 1 / channels, zero) if np.all(channels) else Decline("a divisor is zero")
    if node.op_type == "Add":
        return Affine((node,), x, one, channels)
    return Affine((node,), x, one, -channels) if side == 1 else Affine((node,), x, -one, channels)


def _batchnorm(node: ir.Node) -> Affine | Decline:
    """gamma*(x - mean)/sqrt(var + eps) + beta, in inference."""
    assert node.inputs[0] is not None
    if node.attributes.get_int("training_mode", 0):
        return Decline("training_mode is set")
    if not node.attributes.get_int("spatial", 1):
        return Decline("statistics are per position (spatial=0)")
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        return Decline("its running statistics are read")
    arrays = [constant(value) for value in node.inputs[1:5]]
    parameters = [array.astype(np.float64) for array in arrays if array is not None]
    if len(parameters) < 4:
        return Decline("a parameter of the BatchNormalization is not constant")
    gamma, beta, mean, variance = parameters
    variance = variance + node.attributes.get_float("epsilon", 1e-5)
    if not np.all(variance > 0):
        return Decline("variance + epsilon is not positive")
    scale = gamma / np.sqrt(variance)
    return Affine((node,), node.inputs[0], scale, beta - mean * scale)
