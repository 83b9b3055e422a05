"""An ONNX graph as boxes and lines: what a picture of it shows, before anything has a place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import onnx_ir as ir

from cnnc.analysis.kinds import kind_of
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.rewrite import constant, op_name

__all__ = ["Box", "Line", "boxes_and_lines"]

_SHOWN_VALUES = 6
_USUAL: dict[str, Callable[[Any], bool]] = {
    "group": lambda groups: groups == 1,
    "strides": lambda strides: set(strides) == {1},
    "dilations": lambda dilations: set(dilations) == {1},
    "pads": lambda pads: set(pads) == {0},
}
"""What a layer has unless it says otherwise: not worth a line."""


@dataclasses.dataclass(frozen=True)
class Box:
    """A node, or an input or output of the graph (`kind` is "" then): its title, and what stands below."""

    title: str
    lines: tuple[str, ...] = ()
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """A value, from box `start`, its output number `port`, to box `end`; `label` is its shape."""

    start: int
    port: int
    end: int
    label: str


def boxes_and_lines(model: onnx.ModelProto) -> tuple[list[Box], list[Line]]:
    """What to draw: inputs first, then nodes in order, then outputs; constants stand in the boxes that read them."""
    graph = ir.from_proto(model)
    InferShapes()(graph)
    constants = set(graph.graph.initializers.values())
    boxes = [Box(str(value.name)) for value in graph.graph.inputs if value not in constants]
    made: dict[ir.Value, tuple[int, int]] = {value: (i, 0) for i, value in enumerate(graph.graph.inputs)}
    lines: list[Line] = []
    for node in graph.graph:
        here = len(boxes)
        boxes.append(Box(node.op_type, tuple(_notes(node)), kind_of(node)))
        lines += [Line(*made[value], here, _shape(value)) for value in node.inputs if value in made]
        made |= {value: (here, port) for port, value in enumerate(node.outputs)}
    for value in graph.graph.outputs:
        lines.append(Line(*made[value], len(boxes), _shape(value)))
        boxes.append(Box(str(value.name)))
    return boxes, lines


def _notes(node: ir.Node) -> Iterator[str]:
    """Its domain, its constants (values, where they are few) and its attributes."""
    if op_name(node) != node.op_type:
        yield str(node.domain)
    for value in node.inputs:
        array = constant(value)
        if value is not None and array is not None:
            few = array.size <= _SHOWN_VALUES
            numbers = " ".join(f"{number:g}" for number in array.ravel())
            yield f"{value.name} = {numbers}" if few else f"{value.name} {_sizes(array.shape)}"
    for name, attribute in node.attributes.items():
        number = attribute.value
        if _USUAL.get(name, lambda _: False)(number):
            continue
        several = number if isinstance(number, list | tuple) else [number]
        yield f"{name} {' '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in several)}"


def _shape(value: ir.Value) -> str:
    return _sizes(value.shape.numpy() if value.shape.is_static() else value.shape.dims) if value.shape else ""


def _sizes(sizes: object) -> str:
    """`N×3×8×8`; a symbolic size keeps its name."""
    return "×".join(str(getattr(size, "value", size)) for size in sizes)  # type: ignore[attr-defined]
