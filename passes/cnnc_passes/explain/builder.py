"""New nodes at the end of a graph, with names that are new in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from cnnc_passes.infer_shapes import infer_node

__all__ = ["Builder"]


class Builder:
    """Adds nodes and constants to `graph` as they are asked for; all are named `explain.ROLE`."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self._taken = {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}
        self._taken |= {str(name) for node in graph for name in (node.name, *(value.name for value in node.outputs))}

    def constant(self, role: str, array: np.ndarray) -> ir.Value:
        """A new initializer."""
        name = self.unique(role)
        tensor = ir.tensor(np.asarray(array, order="C"), name=name)
        value = ir.Value(
            name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy()), const_value=tensor
        )
        self.graph.register_initializer(value)
        return value

    def integers(self, role: str, numbers: Sequence[int]) -> ir.Value:
        """A new initializer of int64, as axes are given."""
        return self.constant(role, np.array(numbers, np.int64))

    def apply(self, op: str, inputs: Sequence[ir.Value], role: str, **attributes: Any) -> ir.Value:
        """The output of a new node, the graph's last."""
        node = ir.node(op, inputs, attributes, name=self.unique(f"{role}_node"))
        node.outputs[0].name = self.unique(role)
        self.graph.append(node)
        infer_node(node, self.graph.opset_imports)
        return node.outputs[0]

    def cast(self, x: ir.Value, to: ir.DataType, role: str) -> ir.Value:
        """`x` in another type; `x` itself where it is of that type."""
        if x.dtype == to:
            return x
        return self.apply("Cast", [x], role, to=int(to))

    def unique(self, role: str) -> str:
        """A name that nothing in the graph has."""
        name = f"explain.{role}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
