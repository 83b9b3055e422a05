"""One node of the walk backwards, as its rule sees it: what it reads and gives, and the gradient that arrives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import Dim, dims_of
from cnnc_passes.gradient.tape import Tape
from cnnc_passes.rewrite import constant, op_name, same_shape
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["Number", "Rule", "Step"]

Number = float | np.ndarray
"""Becomes a constant of the gradient's own type."""


@dataclasses.dataclass(frozen=True)
class Step:
    """The gradient of `node` with respect to its input `index` is asked for.

    A gradient stands for an array of its value's shape, and has its rank; along an axis where it does not vary it
    may have the size 1. `full` spreads it where a rule needs every element.

    Attributes:
        tape: takes the new nodes.
        node: the forward node.
        index: which input.
        gradients: of each output of `node`; None where no path to the score goes through it.
    """

    tape: Tape
    node: ir.Node
    index: int
    gradients: Sequence[ir.Value | None]

    @property
    def g(self) -> ir.Value:
        """The gradient of the first output."""
        return self.gradients[0] or self.refuse("only a second output of it is used, and only the first has a rule")

    @property
    def x(self) -> ir.Value:
        """The input asked for."""
        return self.input(self.index)

    @property
    def y(self) -> ir.Value:
        """The first output."""
        return self.node.outputs[0]

    def input(self, index: int) -> ir.Value:
        """Of the node; it must be there."""
        value = self.node.inputs[index] if index < len(self.node.inputs) else None
        return value if value is not None else self.refuse(f"input {index} is missing")

    def constant_input(self, index: int, name: str) -> np.ndarray | None:
        """The array of an optional input; None if it is left out.

        Raises:
            UnsupportedModelError: it is computed.
        """
        if index >= len(self.node.inputs) or self.node.inputs[index] is None:
            return None
        array = constant(self.node.inputs[index])
        return array if array is not None else self.refuse(f"its {name} are computed, not constants")

    def attribute(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.node.attributes.get_float(name, default)
        return default if value is None else value

    def integer(self, name: str, default: int) -> int:
        """An int attribute."""
        value = self.node.attributes.get_int(name, default)
        return default if value is None else value

    def dims(self, value: ir.Value) -> list[Dim]:
        """The sizes of `value`, open ones as symbols.

        Raises:
            UnsupportedModelError: not even its rank is known.
        """
        return dims_of(value.shape) if value.shape is not None else self.refuse(f"the rank of {value.name!r} is open")

    def sizes(self, value: ir.Value, axes: Sequence[int]) -> list[int]:
        """The sizes of `value` along `axes`.

        Raises:
            UnsupportedModelError: one is open.
        """
        sizes = [self.dims(value)[axis] for axis in axes]
        fixed = [size for size in sizes if isinstance(size, int)]
        return (
            fixed
            if len(fixed) == len(sizes)
            else self.refuse(f"{value.name!r} has the open shape {value.shape}", open_size=True)
        )

    def op(
        self, op_type: str, *inputs: ir.Value | Number | None, like: ir.Value | None = None, **attributes: Any
    ) -> ir.Value:
        """A new node; numbers become constants of the gradient's type, integer arrays stay integers."""
        return self.tape.op(f"{self.x.name}.gradient", op_type, [self._operand(x) for x in inputs], attributes, like)

    def second_output(self, op_type: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """The second output of a new node."""
        first = self.tape.op(f"{self.x.name}.gradient", op_type, inputs, attributes, outputs=2)
        producer = first.producer()
        assert producer is not None
        return producer.outputs[1]

    def constant(self, array: Number) -> ir.Value:
        """A new constant, of the gradient's type."""
        return self.tape.constant(np.asarray(array).astype(self.gradient_type().numpy()))

    def zeros(self) -> ir.Value:
        """Of x's shape."""
        return self.op("Expand", 0.0, self.tape.shape_of(self.x), like=self.x)

    def times(self, value: ir.Value, factor: float) -> ir.Value:
        """`value * factor`; nothing to compute for 1."""
        return value if factor == 1 else self.op("Mul", value, factor)

    def full(self, gradient: ir.Value, like: ir.Value) -> ir.Value:
        """`gradient` with every element of the value `like` it stands for."""
        if same_shape(gradient, like):
            return gradient
        return self.op("Expand", gradient, self.tape.shape_of(like), like=like)

    def spread(self, gradient: ir.Value, axis: int, size: int) -> ir.Value:
        """`gradient` with every element along one axis, of `size` in its value."""
        if self.dims(gradient)[axis] == size:
            return gradient
        sizes = [size if each == axis else 1 for each in range(len(self.dims(gradient)))]
        return self.op("Expand", gradient, np.array(sizes, np.int64))

    def reshape(self, gradient: ir.Value, like: ir.Value) -> ir.Value:
        """Its elements in the shape of `like`; a Shape node only where two sizes or more are open."""
        sizes = [size if isinstance(size, int) else -1 for size in self.dims(like)]
        if sizes.count(-1) > 1:
            return self.op("Reshape", gradient, self.tape.shape_of(like), like=like)
        return self.op("Reshape", gradient, np.array(sizes, np.int64), like=like)

    def sum_to(self, gradient: ir.Value, operand: ir.Value, spread_to: Sequence[Dim] | None = None) -> ir.Value:
        """The gradient of an operand that was broadcast into y: the sum over what its elements were spread to.

        Args:
            gradient: with respect to the spread operand, of its rank.
            operand: of y's rank or less.
            spread_to: the shape to which the operand was spread; y's if None.

        Raises:
            UnsupportedModelError: whether an open axis was spread is for the data to say.
        """
        out, own = self.dims(self.y) if spread_to is None else spread_to, self.dims(operand)
        lead = len(out) - len(own)
        spread = []
        for axis, (size, part) in enumerate(zip(out, [*[1] * lead, *own], strict=True)):
            if part == 1 and size != 1:
                spread.append(axis)
            elif part != size:
                spreads = f"whether {operand.name!r}, {operand.shape}, is broadcast to {self.y.shape}"
                self.refuse(f"{spreads} is open", open_size=True)
        gradient = self._summed(gradient, spread)
        return self.op("Squeeze", gradient, np.arange(lead)) if lead else gradient

    def count(self, value: ir.Value, axes: Sequence[int]) -> ir.Value | float:
        """How many elements `value` has along `axes`: a number, or computed where a size is open."""
        sizes = [self.dims(value)[axis] for axis in axes]
        if all(isinstance(size, int) for size in sizes):
            return float(math.prod(size for size in sizes if isinstance(size, int)))
        every = self.tape.shape_of(value)
        chosen = self.op("Gather", every, np.array(axes, np.int64), axis=0)
        number = self.op("ReduceProd", chosen, keepdims=0)
        return self.op("Cast", number, to=int(self.g.dtype or ir.DataType.FLOAT))

    def gradient_type(self) -> ir.DataType:
        """The element type of the gradients here."""
        for gradient in self.gradients:
            if gradient is not None and gradient.dtype is not None:
                return gradient.dtype
        return ir.DataType.FLOAT

    def refuse(self, reason: str, *, open_size: bool = False) -> NoReturn:
        """Raise UnsupportedModelError for this node, with the way out."""
        way = "choose a layer after it" + (", or fix the input's size" if open_size else "")
        raise UnsupportedModelError(
            f"{op_name(self.node)} {self.node.name!r} cannot be differentiated: {reason}; {way}"
        )

    def _summed(self, gradient: ir.Value, axes: list[int]) -> ir.Value:
        """Over `axes` of y, kept with the size 1; where the gradient does not vary, a product does."""
        constant_along = [axis for axis in axes if self.dims(gradient)[axis] == 1]
        varying = [axis for axis in axes if axis not in constant_along]
        if varying:
            gradient = self.op("ReduceSum", gradient, np.array(varying, np.int64), keepdims=1)
        if constant_along:
            gradient = self.op("Mul", gradient, self.count(self.y, constant_along))
        return gradient

    def _operand(self, x: ir.Value | Number | None) -> ir.Value | np.ndarray | None:
        if x is None or isinstance(x, ir.Value):
            return x
        array = np.asarray(x)
        if isinstance(x, np.ndarray) and array.dtype.kind in "iub":
            return array
        return array.astype(self.gradient_type().numpy())


Rule = Callable[[Step], ir.Value]
"""The gradient with respect to `step.x`, from that of `step.y`."""
