"""What the engine makes of a graph: its operators after the engine's own fusions, before cnnc and after.

A rewrite can be equal and still harm, where it hides a pattern that the engine would have fused, or forces it
out of its blocked layout (ReorderInput, ReorderOutput: each a full pass over a tensor).
"""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path

import onnx

from cnnc_runtime.providers import parse_device
from cnnc_runtime.session import open_session

__all__ = ["Census", "census", "regressions"]

# Operators that engines fuse into a convolution or matrix product where they can: left over, each is a pass of its own.
_FUSIBLE = (
    *("Add", "Mul", "BatchNormalization", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish"),
    *("Pad", "Transpose"),
)
_BLOCKED = "com.microsoft.nchwc"
_REORDERS = ("ReorderInput", "ReorderOutput")
_GLOBAL = ("GlobalAveragePool", "GlobalMaxPool")


@dataclasses.dataclass(frozen=True)
class Census:
    """Counts in the graph that the engine runs.

    Attributes:
        nodes: all of them.
        loose: fusible operators that were left on their own, by name.
        layout_conversions: passes that only move data between layouts.
        pooled_conversions: of these, those of one value a channel, behind a global pooling: they cost nothing.
        unblocked: convolutions outside the CPU provider's blocked layout: there they are several times slower.
    """

    nodes: int
    loose: dict[str, int]
    layout_conversions: int
    unblocked: int = 0
    pooled_conversions: int = 0


def census(model: Path, device: str, scratch: Path) -> Census:
    """Count what the engine makes of the file `model` on `device`; the optimized graph goes through `scratch`."""
    optimized = scratch / f"{model.stem}.optimized.onnx"
    open_session(str(model), model.name, parse_device(device), None, "all", optimized=str(optimized))
    graph = onnx.load(optimized, load_external_data=False).graph
    optimized.unlink()
    counts = collections.Counter(node.op_type for node in graph.node)
    pooled = {name for node in graph.node if node.op_type in _GLOBAL for name in node.output}
    return Census(
        nodes=len(graph.node),
        loose={op: counts[op] for op in _FUSIBLE if counts[op]},
        layout_conversions=sum(counts[op] for op in _REORDERS),
        unblocked=sum(node.op_type in ("Conv", "FusedConv") and node.domain != _BLOCKED for node in graph.node),
        pooled_conversions=sum(node.op_type in _REORDERS and node.input[0] in pooled for node in graph.node),
    )


def regressions(before: Census, after: Census) -> list[str]:
    """What the engine fuses less of, or moves more about, than in the original: a line each."""
    found = [
        f"{count} {op} left on their own instead of {before.loose.get(op, 0)}"
        for op, count in after.loose.items()
        if count > before.loose.get(op, 0)
    ]
    full = [one.layout_conversions - one.pooled_conversions for one in (before, after)]
    if full[1] > full[0]:
        found.append(f"{after.layout_conversions} layout conversions instead of {before.layout_conversions}")
    if after.unblocked > before.unblocked:
        found.append(f"{after.unblocked} convolutions outside the blocked layout instead of {before.unblocked}")
    return found
