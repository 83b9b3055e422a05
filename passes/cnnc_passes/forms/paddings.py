"""What a Pad node does, axis by axis: from attributes (before opset 11) or inputs, of all axes or some."""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from cnnc_passes.rewrite import constant

__all__ = ["Padding", "padding_of"]


class Padding(NamedTuple):
    """The (begin, end) pads of every axis, negative where it crops, and with what: `value` counts in mode constant."""

    pads: tuple[tuple[int, int], ...]
    mode: str
    value: float


def padding_of(pad: ir.Node) -> Padding | None:
    """The padding of a Pad node; None if it is not constant or the rank is unknown."""
    x = pad.inputs[0]
    sizes, value = _sizes(pad), _value(pad)
    if x is None or x.shape is None or sizes is None or value is None:
        return None
    rank = len(x.shape)
    axes: list[int] | None = list(range(rank))
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        axes = _integers(pad.inputs[3])
    if axes is None or len(sizes) != 2 * len(axes):
        return None
    pads = [(0, 0)] * rank
    for axis, begin, end in zip(axes, sizes[: len(axes)], sizes[len(axes) :], strict=True):
        pads[axis % rank] = (begin, end)
    return Padding(tuple(pads), pad.attributes.get_string("mode", "constant") or "constant", value)


def _sizes(pad: ir.Node) -> list[int] | None:
    if "pads" in pad.attributes:
        return list(pad.attributes["pads"].as_ints())
    return _integers(pad.inputs[1]) if len(pad.inputs) > 1 else None


def _value(pad: ir.Node) -> float | None:
    if len(pad.inputs) < 3 or pad.inputs[2] is None:
        return pad.attributes.get_float("value", 0.0)
    array = constant(pad.inputs[2])
    return None if array is None else float(array.reshape(-1)[0])


def _integers(value: ir.Value | None) -> list[int] | None:
    array = constant(value)
    return None if array is None else [int(number) for number in array.reshape(-1)]
