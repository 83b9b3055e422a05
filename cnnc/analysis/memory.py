"""Liveness: how many bytes of activations are alive at once when the nodes run in the graph's order."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx_ir as ir

from cnnc_passes.costs import value_bytes

__all__ = ["peak_activation_bytes"]


def peak_activation_bytes(graph: ir.Graph, sizes: Mapping[str, int]) -> int:
    """The peak over all nodes of what is alive while the node runs: its inputs, its outputs, what is still to be read.

    A value lives from its node to its last reader; inputs of the graph from the start, its outputs to the end.
    Weights are not activations. An engine that computes in place, or reuses a reshaped buffer, needs less.
    """
    nodes = list(graph)
    last_reader = {value: index for index, node in enumerate(nodes) for value in node.inputs if value is not None}
    last_reader |= dict.fromkeys(graph.outputs, len(nodes))
    alive = {value for value in graph.inputs if value.const_value is None}
    live_bytes = sum(value_bytes(value, sizes) for value in alive)
    peak = live_bytes
    for index, node in enumerate(nodes):
        live_bytes += sum(value_bytes(output, sizes) for output in node.outputs)
        alive.update(node.outputs)
        peak = max(peak, live_bytes)
        dead = _finished({*node.inputs, *node.outputs}, alive, last_reader, index)
        live_bytes -= sum(value_bytes(value, sizes) for value in dead)
        alive -= dead
    return peak


def _finished(
    touched: Collection[ir.Value | None], alive: set[ir.Value], last_reader: Mapping[ir.Value, int], index: int
) -> set[ir.Value]:
    return {value for value in touched if value in alive and last_reader.get(value, -1) <= index and value is not None}
