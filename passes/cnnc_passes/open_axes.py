"""Sizes that a graph was exported at, opened: the inputs' axes become symbols, and every shape a formula of them.

What computes with any size is left as it is. A Reshape that names the old sizes is told them by its input instead:
the axes that begin both shapes alike and those that end them alike are copied, and of what is between them one axis
may be left to be computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import Dim, dims_of
from cnnc_passes.infer_shapes import infer_node
from cnnc_passes.rewrite import op_name
from cnnc_passes.shape_values import ShapeValues
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError

__all__ = ["open_axes"]

_PRIMES = (1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063)
_TRIALS = range(3)


def open_axes(model: ir.Model, axes: Mapping[str, Mapping[int, str]]) -> None:
    """Let axes of the graph's inputs vary, in place.

    Args:
        model: with the shapes of every value known at the sizes that it was exported at (`InferShapes`).
        axes: the symbols of each input's axes, by name and index; sizes that are named stay.

    Raises:
        UnsupportedModelError: a node keeps the old sizes, or contradicts other ones.
    """
    before = {value: list(value.shape) for node in model.graph for value in (*node.inputs, *node.outputs)
              if value is not None and value.shape is not None}  # fmt: skip
    for value in model.graph.inputs:
        if value.name in axes and value.shape is not None:
            named = axes[str(value.name)]
            value.shape = ir.Shape([named.get(axis, size) for axis, size in enumerate(dims_of(value.shape))])
    opener = _Opener(model, before)
    for node in list(model.graph):
        opener.open(node)
    for value in model.graph.outputs:
        if value.shape is None:
            raise UnsupportedModelError(f"the shape of {value.name!r} is not known for other sizes of the input")


class _Opener:
    """One sweep, which gives every value its shape again."""

    def __init__(self, model: ir.Model, before: Mapping[ir.Value, list[Dim]]) -> None:
        self._model, self._before = model, before
        self._contents = ShapeValues()
        self._taken = {value.name for node in model.graph for value in node.outputs} | set(model.graph.initializers)

    def open(self, node: ir.Node) -> None:
        """Infer what `node` gives; a Reshape is opened before."""
        try:
            if op_name(node) == "Reshape" and not self._adds_up(node):
                self._reshape(node)
            for value in node.outputs:
                value.shape = None
            infer_node(node, self._model.opset_imports, self._contents)
        except InvalidInputError as error:
            raise UnsupportedModelError(f"{_named(node)} takes one size alone: {error}") from error
        self._contents.follow(node)

    def _adds_up(self, reshape: ir.Node) -> bool:
        """True if the target has as many elements as the input, whatever the open sizes are."""
        x, target = reshape.inputs[0], self._contents(reshape.inputs[1])
        if x is None or x.shape is None or target is None:
            return True  # computed from something else: the proof will tell
        have = dims_of(x.shape)
        sizes = [have[i] if size == 0 and i < len(have) else size for i, size in enumerate(target)]
        for trial in _TRIALS:
            elements = [_number(size, trial) for size in have]
            wanted = [_number(size, trial) for size in sizes if size != -1]
            if None in elements or None in wanted:
                return True
            ratio, rest = divmod(math.prod(filter(None, elements)), math.prod(filter(None, wanted)))
            if rest or (ratio != 1 and -1 not in sizes):
                return False
        return True

    def _reshape(self, node: ir.Node) -> None:
        """Name the sizes by the input's own: what both shapes begin and end with."""
        x, y = node.inputs[0], node.outputs[0]
        old, new = (self._before.get(value) if value is not None else None for value in (x, y))
        if x is None or old is None or new is None:
            raise UnsupportedModelError(f"{_named(node)} is to a shape that is not known")
        begin = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        most = min(len(old), len(new)) - begin
        pairs = zip(reversed(old), reversed(new), strict=False)
        end = min(next((i for i, (a, b) in enumerate(pairs) if a != b), most), most)
        middle = new[begin : len(new) - end]
        if len(middle) > 1 and not all(isinstance(size, int) for size in middle):
            raise UnsupportedModelError(f"{_named(node)} keeps the sizes that it was exported at")
        parts = [
            self._sizes_of(x, y, 0, begin) if begin else None,
            self._constant(y, [-1] if len(middle) == 1 else [size for size in middle if isinstance(size, int)])
            if middle
            else None,
            self._sizes_of(x, y, len(old) - end, len(old)) if end else None,
        ]
        concat = ir.node("Concat", [part for part in parts if part is not None], {"axis": 0})
        self._insert(node, concat, y, [len(new)])
        node.replace_input_with(1, concat.outputs[0])
        if not self._adds_up(node):
            raise UnsupportedModelError(f"{_named(node)} keeps the sizes that it was exported at")

    def _sizes_of(self, x: ir.Value, y: ir.Value, start: int, end: int) -> ir.Value:
        shape = ir.node("Shape", [x])
        self._insert(y.producer(), shape, y, [len(x.shape or ())])
        places = self._constant(y, list(range(start, end)))
        gather = ir.node("Gather", [shape.outputs[0], places], {"axis": 0})
        self._insert(y.producer(), gather, y, [end - start])
        return gather.outputs[0]

    def _constant(self, y: ir.Value, numbers: list[int]) -> ir.Value:
        value = ir.Value(name=self._unique(f"{y.name}.sizes"), const_value=ir.tensor(np.array(numbers, np.int64)))
        value.type, value.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([len(numbers)])
        self._model.graph.register_initializer(value)
        return value

    def _insert(self, reader: ir.Node | None, node: ir.Node, y: ir.Value, shape: list[int]) -> None:
        assert reader is not None
        out = node.outputs[0]
        out.name, out.type, out.shape = (
            self._unique(f"{y.name}.{node.op_type.lower()}"),
            ir.TensorType(ir.DataType.INT64),
            ir.Shape(shape),
        )
        self._model.graph.insert_before(reader, node)
        self._contents.follow(node)

    def _unique(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _number(size: Dim, trial: int) -> int | None:
    """The size where each of its symbols is another prime; None where it is not known."""
    if isinstance(size, int):
        return size
    if size.value is None:
        return None
    try:
        symbols = sorted(size.free_symbols())
        number = size.evaluate({symbol: _PRIMES[(trial + sum(map(ord, symbol))) % len(_PRIMES)] for symbol in symbols})
    except ValueError:  # a symbol that is no expression
        return None
    return number if isinstance(number, int) else None


def _named(node: ir.Node) -> str:
    return f"{op_name(node)} {node.name or node.outputs[0].name!r}"
