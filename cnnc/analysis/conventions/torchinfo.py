"""torchinfo's total mult-adds: the parameters of the modules without parts, times the positions of their outputs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from cnnc.analysis.conventions.calls import Call
from cnnc.analysis.conventions.convention import Convention

__all__ = ["TORCHINFO"]


def _whole_modules(calls: Sequence[Call]) -> list[Call]:
    """Successive calls of functions in one module -> one call of the module.

    A network's own module that is called twice in a row looks like one call: the graph does not tell them apart.
    """
    merged: list[Call] = []
    for call in calls:
        before = merged[-1] if merged else None
        if before is None or call.origin.layer is not None or call.origin.path != before.origin.path:
            merged.append(call)
        else:
            merged[-1] = dataclasses.replace(before, nodes=before.nodes + call.nodes)
    return merged


def _cost(call: Call) -> int:
    """From `LayerInfo.calculate_macs`: by the class's name and the parameters' names."""
    if not call.is_leaf or not call.parameters:
        return 0
    output, cost = call.output, 0
    for name, elements in call.parameters.items():
        if name in ("weight", "bias"):
            positions = output[:1] + output[2:] if "Conv" in call.origin.class_name else output[:1]
            cost += elements * math.prod(positions)
        elif "weight" in name or "bias" in name:
            cost += elements * math.prod(output[:2])
    return cost


TORCHINFO = Convention(
    name="torchinfo",
    unit="mult-adds",
    note="torchinfo multiplies parameters by positions: adds biases, a transposed convolution's at the output, and "
    "scale and shift of normalizations once an item; a Linear on a sequence counts once an item",
    cost=_cost,
    merge=_whole_modules,
)
