"""An exported graph -> the PyTorch calls it came from: which module, which function, what was read and returned.

Tools for PyTorch hook modules or trace functions; one call may be several nodes of the graph. torch.onnx records
with each node the modules it was called in, their classes, the function and the line of code. Where a graph carries
no such record, each node counts as the module that computes the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.conventions.origin import Origin, origin_of
from cnnc.analysis.conventions.parameters import own_parameters
from cnnc_passes.costs import node_cost
from cnnc_passes.learned import learned_values
from cnnc_passes.sizes import concrete_shape
from cnnc_runtime.errors import UsageError

__all__ = ["Call", "Shape", "trace_calls"]

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a function; of a module of torch.nn, the whole call of the module.

    Attributes:
        origin: the module and the function.
        nodes: the nodes that compute it, in their order.
        reads: the activations that come from outside.
        parameters: the elements of each parameter of the innermost module, by its name there, `weight`.
        is_leaf: whether the innermost module has no modules of its own.
        sizes: values of the graph's symbols.
    """

    origin: Origin
    nodes: tuple[ir.Node, ...]
    reads: tuple[ir.Value, ...]
    parameters: Mapping[str, int]
    is_leaf: bool
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """Of the node that does the work: the first that multiplies and accumulates, else the last."""
        node = next((node for node in self.nodes if node_cost(node, self.sizes).macs), self.nodes[-1])
        return node.name or str(node.outputs[0].name)

    @property
    def input(self) -> Shape:
        """The shape of what it reads; of the first of several."""
        return self.shape(self.reads[0])

    @property
    def output(self) -> Shape:
        """The shape of what it returns."""
        return self.shape(self.nodes[-1].outputs[0])

    @property
    def read(self) -> int:
        """The elements of its input."""
        return math.prod(self.input)

    @property
    def written(self) -> int:
        """The elements of its output."""
        return math.prod(self.output)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, as cnnc counts them."""
        return sum(node_cost(node, self.sizes).macs for node in self.nodes)

    @property
    def is_affine(self) -> bool:
        """Whether it reads something learned, as a normalization with scale and shift does."""
        return any(learned_values(node) for node in self.nodes)

    def find(self, *operators: str) -> ir.Node | None:
        """Its first node of one of these operators."""
        return next((node for node in self.nodes if node.op_type in operators), None)

    def shape(self, value: ir.Value | None) -> Shape:
        """In numbers.

        Raises:
            UsageError: it is not known.
        """
        shape = None if value is None else concrete_shape(value, self.sizes)
        if shape is None:
            raise UsageError(f"{self.name!r}: the shape of {value and value.name!r} is not known: give --input-shape")
        return shape


def trace_calls(graph: ir.Graph, sizes: Mapping[str, int]) -> list[Call]:
    """The calls that compute on the data, in the order in which they run.

    Args:
        graph: as exported, with inferred shapes.
        sizes: values of its symbols.
    """
    origins = {node: origin_of(node) for node in graph}
    parameters = own_parameters(graph, origins)
    paths = {origin.path for origin in origins.values()}
    parents = {path[:end] for path in paths for end, letter in enumerate(path) if letter == "."}
    if paths - {""}:
        parents.add("")
    return [
        Call(
            origins[nodes[0]],
            tuple(nodes),
            tuple(reads),
            parameters.get(origins[nodes[0]].path, {}),
            origins[nodes[0]].path not in parents,
            sizes,
        )
        for nodes, reads in _groups(graph, origins)
    ]


def _groups(graph: ir.Graph, origins: Mapping[ir.Node, Origin]) -> Iterator[tuple[list[ir.Node], list[ir.Value]]]:
    """Successive nodes of one call, and what they read from before it."""
    group: list[ir.Node] = []
    reads: dict[ir.Value, None] = {}
    for node, activations in _computing(graph):
        if group and not _continues(group, node, origins):
            yield group, list(reads)
            group, reads = [], {}
        inside = {output for member in group for output in member.outputs}
        reads |= {value: None for value in activations if value not in inside}
        group.append(node)
    if group:
        yield group, list(reads)


def _continues(group: Sequence[ir.Node], node: ir.Node, origins: Mapping[ir.Node, Origin]) -> bool:
    """Whether `node` is of the call that `group` began: not of a second call of the same module."""
    first, last, this = origins[group[0]], origins[group[-1]], origins[node]
    if (this.path, this.module, this.call) == (last.path, last.module, last.call):
        return True
    within = (this.path, this.module) == (first.path, first.module) and this.layer is not None
    return within and this.target != first.target


def _computing(graph: ir.Graph) -> Iterator[tuple[ir.Node, list[ir.Value]]]:
    """The nodes that compute on the data, each with the activations it reads; not those that compute shapes."""
    activations = {value for value in graph.inputs if value.const_value is None}
    for node in graph:
        read = [value for value in node.inputs if value in activations and value is not None]
        if read and node.op_type not in ("Shape", "Size"):
            activations.update(node.outputs)
            yield node, read
