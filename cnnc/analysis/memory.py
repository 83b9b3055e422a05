"""Liveness: how many bytes of activations are alive at once when the nodes run in the engine's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from cnnc.layer_names import layer_name
from cnnc_passes.costs import value_bytes

__all__ = ["LiveBytes", "Memory", "engine_order", "memory_of"]


@dataclasses.dataclass(frozen=True)
class LiveBytes:
    """What is alive while one layer runs: its inputs, its outputs, and what later layers still have to read."""

    layer: str
    live_bytes: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """What one inference holds in memory at once.

    Attributes:
        batch: the batch size of the figures.
        weight_bytes: of all constants.
        peak_bytes: the most that activations take at once.
        peak_layer: the layer that runs then.
        timeline: of every node, in the order of execution.
    """

    batch: int
    weight_bytes: int
    peak_bytes: int
    peak_layer: str
    timeline: tuple[LiveBytes, ...]

    def at_batch(self, batch: int) -> int:
        """Bytes of weights and activations at another batch size: every activation of a CNN is proportional to it."""
        return self.weight_bytes + -(-self.peak_bytes * batch // self.batch)

    def largest_batch(self, limit_bytes: int) -> int:
        """The largest batch that fits `limit_bytes`, 0 if none does: one more no longer fits."""
        return max(0, limit_bytes - self.weight_bytes) * self.batch // max(1, self.peak_bytes)


def memory_of(graph: ir.Graph, sizes: Mapping[str, int], *, batch: int, weight_bytes: int) -> Memory:
    """Run through the graph as the engine does, and note what is alive.

    A value lives from its node to its last reader; inputs of the graph from the start, its outputs to the end.
    Weights are not activations. An engine that computes in place, or reuses a reshaped buffer, needs less; one that
    copies into a blocked layout, or works on an unrolled image, needs more.
    """
    nodes = engine_order(graph)
    last_reader = {value: index for index, node in enumerate(nodes) for value in node.inputs if value is not None}
    last_reader |= dict.fromkeys(graph.outputs, len(nodes))
    alive = {value for value in graph.inputs if value.const_value is None}
    live_bytes = sum(value_bytes(value, sizes) for value in alive)
    timeline = []
    for index, node in enumerate(nodes):
        live_bytes += sum(value_bytes(output, sizes) for output in node.outputs)
        alive.update(node.outputs)
        timeline.append(LiveBytes(layer_name(node), live_bytes))
        dead = _finished({*node.inputs, *node.outputs}, alive, last_reader, index)
        live_bytes -= sum(value_bytes(value, sizes) for value in dead)
        alive -= dead
    peak = max(timeline, key=lambda moment: moment.live_bytes, default=LiveBytes("", live_bytes))
    return Memory(batch, weight_bytes, peak.live_bytes, peak.layer, tuple(timeline))


def engine_order(graph: ir.Graph) -> Sequence[ir.Node]:
    """The nodes as onnxruntime's default executor runs them: depth first, backward from the last ones.

    Of the nodes that one reads, that which stands last in the graph is computed first, with all that it needs: of a
    residual block, for instance, the shortcut (onnxruntime, `Graph::ReverseDFSFrom`).
    """
    position = {node: index for index, node in enumerate(graph)}
    stack = [(node, False) for node in position if not any(output.uses() for output in node.outputs)]
    entered: set[ir.Node] = set()
    order = []
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif node not in entered:
            entered.add(node)
            stack.append((node, True))
            read = {value.producer() for value in node.inputs if value is not None}
            before = sorted((other for other in read if other in position), key=position.__getitem__)
            stack += [(other, False) for other in before]
    return order


def _finished(
    touched: Collection[ir.Value | None], alive: set[ir.Value], last_reader: Mapping[ir.Value, int], index: int
) -> set[ir.Value]:
    return {value for value in touched if value in alive and last_reader.get(value, -1) <= index and value is not None}
