"""The nodes and constants of a gradient while it is written: named, typed and shaped, but in no graph yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import dims_of
from cnnc_passes.infer_shapes import infer_node

__all__ = ["Operand", "Tape"]

Operand = ir.Value | np.ndarray | None
"""What a new node may read: a value, an array that becomes a constant, or nothing."""


class Tape:
    """Collects new nodes in the order of computation.

    Attributes:
        nodes: in topological order.
        initializers: the constants that they read and the graph does not have yet.
        opset: the version of the standard operators that the graph imports.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        self.opset = graph.opset_imports.get("", graph.opset_imports.get("ai.onnx", 1))
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._shapes: dict[tuple[ir.Value, int, int | None], ir.Value] = {}
        self._names = {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}
        for node in graph.all_nodes():
            self._names |= {str(node.name), *(str(value.name) for value in node.outputs)}

    def op(
        self,
        role: str,
        op_type: str,
        inputs: Sequence[Operand],
        attributes: dict[str, Any] | None = None,
        like: ir.Value | None = None,
        outputs: int = 1,
    ) -> ir.Value:
        """A new node's first output.

        Args:
            role: what its name begins with.
            op_type: a standard operator.
            inputs: arrays become constants; equal ones become one.
            attributes: as `ir.node` takes them.
            like: a value whose shape and type the output has; inferred if None.
            outputs: how many the node has.
        """
        values = [self.constant(each) if isinstance(each, np.ndarray) else each for each in inputs]
        name = self._unique(role)
        node = ir.node(op_type, values, attributes, name=name, num_outputs=outputs)
        for index, value in enumerate(node.outputs):
            value.name = name if index == 0 else self._unique(f"{role}_{index}")
        if like is None:
            infer_node(node, {"": self.opset})
        else:
            node.outputs[0].shape, node.outputs[0].type = ir.Shape(dims_of(like.shape or ())), like.type
        self.nodes.append(node)
        return node.outputs[0]

    def constant(self, array: np.ndarray) -> ir.Value:
        """The array as an initializer; the same one for equal arrays."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = self._unique("gradient.constant")
            tensor = ir.tensor(array, name=name)
            value = ir.Value(
                name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
            )
            self._constants[key] = value
            self.initializers.append(value)
        return self._constants[key]

    def shape_of(self, value: ir.Value, start: int = 0, end: int | None = None) -> ir.Value:
        """The sizes of `value` from axis `start` to before `end`, (rank,) int64: a constant where none is open."""
        sizes = dims_of(value.shape or ())[start:end]
        if all(isinstance(size, int) for size in sizes):
            return self.constant(np.array(sizes, np.int64))
        key = (value, start, end)
        if key not in self._shapes:
            limits = {"start": start} | ({} if end is None else {"end": end})
            self._shapes[key] = self.op(f"{value.name}.shape", "Shape", [value], limits)
        return self._shapes[key]

    def _unique(self, role: str) -> str:
        name, count = role, 0
        while name in self._names:
            count += 1
            name = f"{role}_{count}"
        self._names.add(name)
        return name
