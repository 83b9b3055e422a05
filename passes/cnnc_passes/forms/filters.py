"""The constants of a convolution: what laws share that take one apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Decline, constant

__all__ = ["Filters", "filters_of"]


class Filters(NamedTuple):
    """Weight, (filters, channels per group, *kernel), and bias, (filters,) or None, of a Conv or FusedConv."""

    weight: np.ndarray
    bias: np.ndarray | None


def filters_of(conv: ir.Node) -> Filters | Decline:
    """The constants of `conv`; the reason where one is computed, or a caller may override it."""
    weight, given = constant(conv.inputs[1]), conv.inputs[2] if len(conv.inputs) > 2 else None
    bias = constant(given)
    if weight is None or (given is not None and bias is None):
        return Decline("the weight or bias is not constant")
    return Filters(weight, bias)
