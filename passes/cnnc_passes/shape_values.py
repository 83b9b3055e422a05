"""The numbers inside shape-like values, followed from Shape to Reshape with the symbols kept."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from cnnc_passes.dims import Dim, dims_of
from cnnc_passes.rewrite import constant

__all__ = ["ShapeValues"]

_LARGEST = 64  # elements; a shape has fewer, and nothing larger (a weight) is ever read from disk


class ShapeValues:
    """Remembers, along one sweep over a graph, which sizes a small integer tensor (of rank 0 or 1) holds."""

    def __init__(self) -> None:
        self._known: dict[ir.Value, list[Dim]] = {}

    def __call__(self, value: ir.Value | None) -> list[Dim] | None:
        """The sizes in `value`, or None where they are not known."""
        if value is None:
            return None
        if value in self._known:
            return self._known[value]
        tensor = value.const_value
        if tensor is None or tensor.size > _LARGEST or not tensor.dtype.is_integer() or len(tensor.shape) > 1:
            return None
        array = constant(value)
        return None if array is None else [int(item) for item in array.reshape(-1)]

    def follow(self, node: ir.Node) -> None:
        """Note what `node` puts into its output (of known rank), if it is one of shape arithmetic."""
        rule = _RULES.get(node.op_type) if node.domain == "" else None
        sizes = rule(node, self) if rule is not None else None
        output = node.outputs[0]
        if sizes is not None and len(sizes) <= _LARGEST and output.shape is not None and len(output.shape) < 2:
            self._known[output] = sizes


Rule = Callable[[ir.Node, ShapeValues], list[Dim] | None]


def _shape(node: ir.Node, _: ShapeValues) -> list[Dim] | None:
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    return dims_of(x.shape)[node.attributes.get_int("start", 0) : node.attributes.get_int("end", None)]


def _gather(node: ir.Node, values: ShapeValues) -> list[Dim] | None:
    data, indices = values(node.inputs[0]), values(node.inputs[1])
    if data is None or indices is None:
        return None
    inside = [i for i in indices if isinstance(i, int) and -len(data) <= i < len(data)]
    return [data[i] for i in inside] if len(inside) == len(indices) else None


def _slice(node: ir.Node, values: ShapeValues) -> list[Dim] | None:
    data, *bounds = [values(value) for value in node.inputs]
    if data is None or len(bounds) < 2:  # before opset 10 the bounds are attributes
        return None
    starts, ends = bounds[0] or [], bounds[1] or []
    steps = bounds[3] or [] if len(bounds) > 3 else [1]
    numbers = [number for number in (*starts, *ends, *steps) if isinstance(number, int)]
    if not len(starts) == len(ends) == len(steps) == 1 or len(numbers) != 3 or 0 in numbers[2:]:
        return None
    return data[slice(*numbers)]


def _concat(node: ir.Node, values: ShapeValues) -> list[Dim] | None:
    parts = [values(value) for value in node.inputs]
    return [size for part in parts for size in part or ()] if None not in parts else None


def _same(node: ir.Node, values: ShapeValues) -> list[Dim] | None:
    return values(node.inputs[0])


def _arithmetic(operation: Callable[[Any, Any], Dim]) -> Rule:
    def rule(node: ir.Node, values: ShapeValues) -> list[Dim] | None:
        a, b = values(node.inputs[0]), values(node.inputs[1])
        if a is None or b is None or len(a) != len(b):
            return None
        try:
            return [operation(x, y) for x, y in zip(a, b, strict=True)]
        except (ValueError, TypeError, ZeroDivisionError):  # a symbol that is no expression, or int // symbol
            return None

    return rule


_RULES: dict[str, Rule] = {
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Cast": _same,
    "Identity": _same,
    "Reshape": _same,
    "Squeeze": _same,
    "Unsqueeze": _same,
    "Add": _arithmetic(operator.add),
    "Sub": _arithmetic(operator.sub),
    "Mul": _arithmetic(operator.mul),
    "Div": _arithmetic(operator.floordiv),
}
