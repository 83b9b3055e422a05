"""What one element of an operator's output reads of its inputs, axis by axis: the words that the rules are said in.

Receptive fields follow these readings from the input to the outputs, unread rows from the outputs to the input.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import onnx_ir as ir

from cnnc_passes.rewrite import constant
from cnnc_passes.sizes import concrete_shape
from cnnc_runtime.errors import UsageError

__all__ = [
    "EVERYTHING",
    "Along",
    "AxisRead",
    "Edge",
    "Everything",
    "Reading",
    "Scattered",
    "Shape",
    "fixed",
    "itself",
    "known_shape",
    "same",
    "small_ints",
]

Shape = tuple[int, ...]
_LARGEST = 64  # elements of a constant that says axes, starts or pads; a weight is never read


class Edge(enum.Enum):
    """What is read where a tap falls outside of the axis."""

    NOTHING = "nothing"  # a constant: zero padding
    NEAREST = "nearest"
    REFLECT = "reflect"
    WRAP = "wrap"


class Along(NamedTuple):
    """Index o along the output's `axis` reads the input indices `taps(o)`; `axis` None: always `taps(0)`.

    The pattern repeats: taps(o + period) = taps(o) + advance. `partial`: other inputs hold the other indices.
    """

    axis: int | None
    taps: Callable[[int], Sequence[int]]
    period: int = 1
    advance: int = 1
    edge: Edge = Edge.NOTHING
    partial: bool = False


class Everything:
    """Every output element reads the whole axis: a sum, a mean, a matrix product over it."""


EVERYTHING = Everything()


class Scattered(NamedTuple):
    """Each output element reads some of the axis, at a place that depends on output `axis` alone, or (None) on several.

    How is not said: a Flatten puts rows and columns into one axis.
    """

    axis: int | None


AxisRead = Along | Everything | Scattered


class Reading(NamedTuple):
    """How the elements of the node's `output` (by position) read `source`: one entry for each axis of `source`."""

    source: ir.Value
    output: int
    axes: tuple[AxisRead, ...]


def itself(index: int) -> Sequence[int]:
    """The taps of an elementwise operator."""
    return (index,)


def same(axis: int) -> Along:
    """The input's axis is the output's `axis`, index for index."""
    return Along(axis, itself)


def fixed(axis: int | None, index: int = 0) -> Along:
    """Every output element reads the one `index`: a broadcast (along `axis`), or an axis that is dropped (None)."""
    return Along(axis, lambda _: (index,), advance=0)


def known_shape(value: ir.Value | None, sizes: Mapping[str, int]) -> Shape | None:
    """As `concrete_shape`; None also where a symbol is not settled."""
    if value is None:
        return None
    try:
        return concrete_shape(value, sizes)
    except UsageError:
        return None


def small_ints(node: ir.Node, position: int) -> list[int] | None:
    """The integers of a constant input; None if it is absent, computed or not small."""
    value = node.inputs[position] if position < len(node.inputs) else None
    if value is None or value.const_value is None or value.const_value.size > _LARGEST:
        return None
    array = constant(value)
    return None if array is None else [int(item) for item in array.reshape(-1)]
