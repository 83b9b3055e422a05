"""Where an activation function is flat: what makes a unit dead, or saturated."""

from __future__ import annotations

import math

import onnx_ir as ir

from cnnc_passes.rewrite import constant, op_name

__all__ = ["is_gate", "rectifies", "saturation"]

_FLAT = 0.1  # of the steepest slope
_TANH = math.sqrt(1 - _FLAT)  # tanh' = 1 - y^2, at most 1
_SIGMOID = (1 + _TANH) / 2  # sigmoid(x) = (1 + tanh(x/2)) / 2, so the same points of the same curve
_SOFTSIGN = 1 - math.sqrt(_FLAT)  # softsign' = (1 - |y|)^2, at most 1

_SATURATION = {
    "Tanh": (-_TANH, _TANH),
    "Sigmoid": (1 - _SIGMOID, _SIGMOID),
    "Softsign": (-_SOFTSIGN, _SOFTSIGN),
    "HardSigmoid": (0.0, 1.0),
}


def saturation(node: ir.Node) -> tuple[float, float] | None:
    """The outputs at or below, and at or above, which the function passes little gradient on; None if none do.

    "Little" is less than a tenth of its steepest slope: |tanh| >= 0.949, sigmoid <= 0.026 or >= 0.974,
    |softsign| >= 0.684. HardSigmoid and Clip pass none at their bounds; of a Clip from 0 (ReLU6) only the upper
    bound counts, since that a rectifier is off half the time is what it is for.
    """
    if node.op_type != "Clip":
        return _SATURATION.get(op_name(node))
    low, high = _bounds(node)
    low = -math.inf if low == 0 else low
    return (low, high) if math.isfinite(low) or math.isfinite(high) else None


def rectifies(node: ir.Node) -> bool:
    """True if it is zero on a half-line: Relu, Clip from 0, ThresholdedRelu, and a convolution fused with a Relu."""
    if node.op_type == "Clip":
        return _bounds(node)[0] == 0
    fused = node.op_type == "FusedConv" and node.attributes.get_string("activation") == "Relu"
    return fused or node.op_type in ("Relu", "ThresholdedRelu")


def is_gate(value: ir.Value) -> bool:
    """True if a product reads the value, as of squeeze and excitation: a gate is meant to be open or shut."""
    return any(use.node.op_type == "Mul" for use in value.uses())


def _bounds(clip: ir.Node) -> tuple[float, float]:
    found = []
    for index, name, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        given = constant(clip.inputs[index]) if len(clip.inputs) > index else clip.attributes.get_float(name, None)
        found.append(default if given is None else float(given))
    return found[0], found[1]
