"""What forces each layout conversion that the engine is left with: found in the graph that it really runs.

onnxruntime's CPU provider convolves in a blocked layout, NCHWc. For an operator that has no form in it, the map leaves
the layout (ReorderOutput) and comes back (ReorderInput), each a full pass over it; so is a Transpose to channels last.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from cnnc.engine_graph.plain_layout import BLOCKED_CONV, REORDER_OUTPUT, plain_inputs, why_plain
from cnnc_passes.rewrite import op_name

__all__ = ["Barrier", "barriers_from", "describe_barriers", "find_barriers"]

_REORDER_INPUT = "com.microsoft.nchwc::ReorderInput"
_POOLED = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_SHOWN = 3  # layers a line

_Root = tuple[str, str]
"""A cause, and the layer where it stands."""


@dataclasses.dataclass(frozen=True)
class Barrier:
    """One cause of layout conversions.

    Attributes:
        cause: the operator and why it needs the plain layout: `Mul (a factor for each channel)`. Two where both do.
        layers: where it stands, in the order of the graph: the names of the network's modules where the file has them.
        conversions: how many it forces, before and after it.
        pooled: of these, those of one value a channel, behind a global pooling: they cost nothing.
    """

    cause: str
    layers: tuple[str, ...]
    conversions: int
    pooled: int = 0


def find_barriers(graph: ir.Graph, layers: Mapping[str, str]) -> tuple[Barrier, ...]:
    """Every layout conversion of the optimized `graph`, by its cause, the most frequent first.

    Args:
        graph: as the engine runs it.
        layers: of each value's name, the layer that computes it.
    """
    search = _Search(layers, _block_of(graph))
    conversions: collections.Counter[str] = collections.Counter()
    pooled: collections.Counter[str] = collections.Counter()
    where: dict[str, set[str]] = {}
    for node in graph:
        roots = set(search.forced_by(node))
        if roots:
            cause = " and ".join(sorted({cause for cause, _ in roots}))
            conversions[cause] += 1
            pooled[cause] += _is_pooled(node)
            where.setdefault(cause, set()).update(layer for _, layer in roots)
    places = {layer: place for place, layer in enumerate(dict.fromkeys(layers.values()))}

    def in_order(layer: str) -> tuple[int, str]:  # the engine writes its conversions in no certain order
        return places.get(layer, -1), layer

    barriers = [
        Barrier(cause, tuple(sorted(where[cause], key=in_order)), count, pooled[cause])
        for cause, count in conversions.items()
    ]
    return tuple(sorted(barriers, key=lambda one: (-one.conversions, one.cause)))


def describe_barriers(barriers: Sequence[Barrier], before: Sequence[Barrier] | None = None) -> list[str]:
    """A heading, and a line for each cause; `before` are those of the original."""
    total = sum(one.conversions for one in barriers)
    was = "" if before is None else f" (the original has {sum(one.conversions for one in before)})"
    return [f"layout conversions left in the engine's graph: {total}{was}", *map(_line, barriers)]


def barriers_from(report: Mapping[str, Any]) -> tuple[Barrier, ...] | None:
    """Those that an artifact's report lists; None where it lists none. What has the wrong type is left out."""
    fusion = report.get("fusion")
    after = fusion.get("after") if isinstance(fusion, dict) else None
    plain = after.get("barriers") if isinstance(after, dict) else None
    return tuple(filter(None, map(_read, plain))) if isinstance(plain, list) else None


def _read(plain: Any) -> Barrier | None:
    if not isinstance(plain, dict):
        return None
    cause, layers, conversions, pooled = (plain.get(field.name) for field in dataclasses.fields(Barrier))
    if not (isinstance(cause, str) and isinstance(layers, list)):
        return None
    if not (isinstance(conversions, int) and isinstance(pooled, int)):
        return None
    return Barrier(cause, tuple(layer for layer in layers if isinstance(layer, str)), conversions, pooled)


def _line(barrier: Barrier) -> str:
    names = ", ".join(barrier.layers[:_SHOWN])
    more = f" and {len(barrier.layers) - _SHOWN} more" if len(barrier.layers) > _SHOWN else ""
    free = f"; {barrier.pooled} of one value a channel" if barrier.pooled else ""
    return f"  {barrier.conversions} by {barrier.cause}{free}: {names}{more}"


class _Search:
    """Follows a conversion to the operators that force it."""

    def __init__(self, layers: Mapping[str, str], block: int) -> None:
        self._layers = layers
        self._block = block

    def forced_by(self, node: ir.Node) -> Iterator[_Root]:
        """What forces `node`; nothing if it is no layout conversion."""
        op = op_name(node)
        last = bool(node.attributes.get_int("channels_last", 0))
        if op == REORDER_OUTPUT:
            yield from self._by_readers(node.outputs[0], last)
        elif op == _REORDER_INPUT:
            yield from self._by_producer(node.inputs[0], last)
        else:
            yield from self._transposed(node) or ()

    def _transposed(self, node: ir.Node) -> Iterator[_Root] | None:
        """What forces a Transpose to or from channels last; None if `node` is none."""
        order = list(node.attributes.get_ints("perm", ())) if op_name(node) == "Transpose" else []
        rank = len(order)
        if rank > 3 and order == [0, *range(2, rank), 1]:
            return self._by_readers(node.outputs[0], last=True)
        if rank > 3 and order == [0, rank - 1, *range(1, rank - 1)]:
            return self._by_producer(node.inputs[0], last=True)
        return None

    def _by_readers(self, value: ir.Value, last: bool) -> Iterator[_Root]:
        for reader in dict.fromkeys(reader for reader, _ in value.uses()):
            yield from [self._root(reader, "takes channels last")] if last else self._roots(reader)
        if value.is_graph_output():
            yield "output of the network", str(value.name)

    def _by_producer(self, value: ir.Value | None, last: bool) -> Iterator[_Root]:
        producer = value.producer() if value is not None else None
        if producer is None:
            yield "input of the network", str(value.name if value is not None else "")
        else:
            yield from [self._root(producer, "gives channels last")] if last else self._roots(producer)

    def _roots(self, node: ir.Node) -> Iterator[_Root]:
        """`node` if it cannot run in blocks itself; else those above it through which it reads plain values."""
        pending, seen = [node], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            if (turned := self._transposed(current)) is not None:
                yield from turned
                continue
            why, above = why_plain(current, self._block), plain_inputs(current)
            if why is not None or not above:
                yield self._root(current, why or "is left out by the engine")
                continue
            pending += [producer for value in above if (producer := value.producer()) is not None]
            yield from (("input of the network", str(value.name)) for value in above if value.producer() is None)

    def _root(self, node: ir.Node, why: str) -> _Root:
        made = [str(output.name) for output in node.outputs]
        if op_name(node) == BLOCKED_CONV:  # it is named after the value that it computes
            made.append(str(node.name).partition("_nchwc")[0])
        names = [self._layers[name] for name in made if name in self._layers]
        return f"{node.op_type} ({why})", names[0] if names else str(node.name or made[0])


def _is_pooled(node: ir.Node) -> bool:
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    return before is not None and before.op_type in _POOLED


def _block_of(graph: ir.Graph) -> int:
    """Channels a block: weights are filled up to whole blocks. 16 with AVX-512, 8 with AVX2."""
    weights = [node.inputs[1] for node in graph if op_name(node) == BLOCKED_CONV]
    filters = [value.shape[0] for value in weights if value is not None and value.shape is not None]
    return 8 if any(isinstance(size, int) and size % 16 for size in filters) else 16
