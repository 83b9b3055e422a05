"""What the constants of a graph are: learned parameters, running statistics, or shapes and other numbers."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from cnnc_passes.learned import learned_values, measured_values

__all__ = ["Constants", "constants_of"]


@dataclasses.dataclass(frozen=True)
class Constants:
    """How many values the constants of a graph have; each constant counts once, however many nodes read it.

    Attributes:
        learned: weights and biases, normalization scale and shift, slopes, embeddings: what training set.
        statistics: running means and variances of BatchNormalization: measured in training, not learned.
        other: target shapes, epsilons, and whatever else the graph needs.
    """

    learned: int
    statistics: int
    other: int


def constants_of(graph: ir.Graph) -> Constants:
    """Of all nodes of the graph."""
    nodes = list(graph.all_nodes())
    learned = {value for node in nodes for value in learned_values(node)}
    statistics = {value for node in nodes for value in measured_values(node)} - learned
    every = {value for node in nodes for value in node.inputs if value is not None and value.const_value is not None}
    return Constants(_elements(learned), _elements(statistics), _elements(every - learned - statistics))


def _elements(values: set[ir.Value]) -> int:
    return sum(value.const_value.size for value in values if value.const_value is not None)
