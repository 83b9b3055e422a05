"""A node as a clamp, min(max(x, low), high): Relu, Clip, and Max or Min with one number."""

from __future__ import annotations

import math

import onnx_ir as ir

from cnnc_passes.rewrite import constant, is_stored, op_name

__all__ = ["CLAMPS", "clamp_bounds", "clamped"]

CLAMPS = frozenset({"Clip", "Max", "Min", "Relu"})


def clamped(node: ir.Node) -> ir.Value | None:
    """What the node keeps between two numbers; None if it is no clamp, as a Max of two results."""
    if op_name(node) in ("Clip", "Relu"):
        return node.inputs[0]
    return _compared(node)[0] if op_name(node) in ("Max", "Min") else None


def clamp_bounds(node: ir.Node) -> tuple[float, float] | None:
    """The (low, high) of a node that `clamped` knows, infinite where it is open; None if one is not constant.

    Where low is above high every result is high.
    """
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type == "Clip":
        low, high = _bound(node, 1, "min", -math.inf), _bound(node, 2, "max", math.inf)
        return None if low is None or high is None else (low, high)
    number = _number(_compared(node)[1])
    if number is None:
        return None
    return (number, math.inf) if node.op_type == "Max" else (-math.inf, number)


def _compared(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """(x, the number) of a Max or Min: one stored number that leaves the shape of x as it is; else (None, None)."""
    if len(node.inputs) == 2:
        for x, number in (node.inputs, reversed(node.inputs)):
            if number is None or x is None or not is_stored(number) or is_stored(x):
                continue
            if x.shape is not None and number.shape is not None and len(number.shape) <= len(x.shape):
                return (x, number) if all(size == 1 for size in number.shape) else (None, None)
    return None, None


def _bound(clip: ir.Node, index: int, attribute: str, default: float) -> float | None:
    """A limit of Clip: attribute before opset 11, optional input since."""
    if attribute in clip.attributes:
        return clip.attributes.get_float(attribute, default)
    if len(clip.inputs) <= index or clip.inputs[index] is None:
        return default
    return _number(clip.inputs[index])


def _number(value: ir.Value | None) -> float | None:
    array = constant(value)
    return None if array is None or array.size != 1 else float(array.reshape(-1)[0])
