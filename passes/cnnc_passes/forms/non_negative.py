"""x >= 0, everywhere and for every input of the model, as told from the operators that compute x."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.clamp import clamp_bounds
from cnnc_passes.rewrite import op_name

__all__ = ["is_non_negative"]

_POSITIVE = frozenset({"Abs", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus"})
_KEEPING = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})  # of values >= 0, values >= 0


def is_non_negative(value: ir.Value | None) -> bool:
    """True if `value` is proved never to be below 0; False says nothing."""
    node = value.producer() if value is not None else None
    while node is not None and op_name(node) in _KEEPING:
        if any(size != 1 for size in node.attributes.get_ints("dilations", [])):
            return False  # a dilated window may see padding alone, whose maximum is the lowest number there is
        value = node.inputs[0]
        node = value.producer() if value is not None else None
    if node is None:
        return False
    return op_name(node) in _POSITIVE or (op_name(node) == "Clip" and _clips_at_zero(node))


def _clips_at_zero(clip: ir.Node) -> bool:
    """The minimum is at least 0, and so is the maximum, which wins where it is the smaller."""
    bounds = clamp_bounds(clip)
    return bounds is not None and min(bounds) >= 0
