"""What the engine makes of a graph: its operators after the engine's own fusions, before cnnc and after.

A rewrite can be equal and still harm, where it hides a pattern that the engine would have fused, or forces it
out of its blocked layout (ReorderInput, ReorderOutput: each a full pass over a tensor).
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx_ir as ir

from cnnc.engine_graph.barriers import Barrier, find_barriers
from cnnc.layer_names import layer_name
from cnnc_runtime.providers import parse_device
from cnnc_runtime.session import open_session

__all__ = ["Census", "census", "regressions"]

_ACTIVATIONS = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish")
_PIECES = ("Sub", "Div", "Pow", "Sqrt", "Erf")  # of a normalization or Gelu that is written out
# Operators that engines fuse into a convolution or matrix product where they can: left over, each is a pass of its own.
_FUSIBLE = ("Add", "Sum", "Mul", "BatchNormalization", *_ACTIVATIONS, *_PIECES, "Pad", "Transpose")

# What is fused, and the operators that would be left on their own if it were not.
_INTO_CONV, _INTO_GEMM, _ADDED = "activation in Conv", "activation in Gemm", "addition in Conv"
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((_INTO_CONV, _INTO_GEMM), _ACTIVATIONS),
    _ADDED: ("Add", "Sum"),
    "FusedMatMul": ("Mul", "Transpose"),
}
_COMPOSED = frozenset(
    {"LayerNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization", "GroupNorm"}
    | {"Gelu", "BiasGelu", "FastGelu", "QuickGelu", "FusedMatMul"}
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
        unblocked: convolutions outside the CPU provider's blocked layout: there they are several times slower.
        pooled_conversions: of these, those of one value a channel, behind a global pooling: they cost nothing.
        blocked: convolutions in that layout.
        fused: what runs in the kernel of another operator (`activation in Conv`), and kernels that stand for several
            operators (`LayerNormalization`), by name.
        barriers: what forces the layout conversions.
    """

    nodes: int
    loose: dict[str, int]
    layout_conversions: int
    unblocked: int = 0
    pooled_conversions: int = 0
    blocked: int = 0
    fused: dict[str, int] = dataclasses.field(default_factory=dict)
    barriers: tuple[Barrier, ...] = ()


def census(model: Path, device: str, scratch: Path) -> Census:
    """Count what the engine makes of the file `model` on `device`; the optimized graph goes through `scratch`."""
    optimized = scratch / f"{model.stem}.optimized.onnx"
    open_session(str(model), model.name, parse_device(device), None, "all", optimized=str(optimized))
    layers = {str(value.name): layer_name(node) for node in ir.load(model).graph for value in node.outputs}
    graph = ir.load(optimized).graph
    optimized.unlink()
    counts = collections.Counter(node.op_type for node in graph)
    convolutions = [node for node in graph if node.op_type in ("Conv", "FusedConv")]
    blocked = sum(node.domain == _BLOCKED for node in convolutions)
    pooled = {value for node in graph if node.op_type in _GLOBAL for value in node.outputs}
    return Census(
        nodes=len(graph),
        loose={op: counts[op] for op in _FUSIBLE if counts[op]},
        layout_conversions=sum(counts[op] for op in _REORDERS),
        unblocked=len(convolutions) - blocked,
        pooled_conversions=sum(node.op_type in _REORDERS and node.inputs[0] in pooled for node in graph),
        blocked=blocked,
        fused=dict(sorted(collections.Counter(_fused(graph)).items())),
        barriers=find_barriers(graph, layers),
    )


def _fused(graph: Iterable[ir.Node]) -> Iterator[str]:
    """One name for each operator that runs in another's kernel, or kernel that stands for several."""
    for node in graph:
        active = "activation" in node.attributes
        if node.op_type in ("Conv", "FusedConv"):
            yield from [_INTO_CONV] * active
            yield from [_ADDED] * (len(node.inputs) > 3 and node.inputs[3] is not None)
        elif node.op_type == "FusedGemm":
            yield from [_INTO_GEMM] * active
        elif node.op_type in _COMPOSED:
            yield node.op_type


def regressions(before: Census, after: Census) -> list[str]:
    """What the engine fuses less of, or moves more about, than in the original: a line each.

    Fewer fusions are none where there is less to fuse (convolutions merged, activations dropped): only where something
    that could have been fused is left on its own more often than before. So with layout conversions: they are the price
    of convolutions in the blocked layout, and no harm where more of these are in it (clips by frames, matrix products
    as convolutions).
    """
    apart = any(after.fused.get(kind, 0) < count for kind, count in before.fused.items() if kind in _COMPOSED)
    more = [op for op, count in after.loose.items() if count > before.loose.get(op, 0)]
    looser = [op for op in more if apart or op not in _PIECES]  # a power by square roots was nobody's piece
    found = [f"{after.loose[op]} {op} left on their own instead of {before.loose.get(op, 0)}" for op in looser]
    found += [
        f"{after.fused.get(kind, 0)} x {kind} fused instead of {count}"
        for kind, count in before.fused.items()
        if after.fused.get(kind, 0) < count and not set(_PARTS.get(kind, _PIECES)).isdisjoint(looser)
    ]
    full = [one.layout_conversions - one.pooled_conversions for one in (before, after)]
    if full[1] > full[0] and after.blocked <= before.blocked:
        found.append(
            f"{after.layout_conversions} layout conversions instead of {before.layout_conversions}{_new(before, after)}"
        )
    if after.unblocked > before.unblocked:
        found.append(f"{after.unblocked} convolutions outside the blocked layout instead of {before.unblocked}")
    return found


def _new(before: Census, after: Census) -> str:
    """The causes that force more than before."""
    old = {one.cause: one.conversions for one in before.barriers}
    causes = [
        f"{one.conversions - old.get(one.cause, 0)} more by {one.cause}"
        for one in after.barriers
        if one.conversions > old.get(one.cause, 0)
    ]
    return f": {', '.join(causes)}" if causes else ""
