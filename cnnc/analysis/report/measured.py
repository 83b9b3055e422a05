"""The parts of an analysis that are there only where somebody asked for them: one place that knows their fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnc.analysis.layer import Layer
from cnnc.analysis.result import Analysis

if TYPE_CHECKING:
    from cnnc.analysis.timing.result import LayerTime

__all__ = ["axis_names", "input_size", "layer_times", "receptive_size", "unread_input", "valid_sizes"]

_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def layer_times(analysis: Analysis) -> dict[str, LayerTime]:
    """The measured time of each layer by the name of its output; empty where no times were asked for."""
    return {} if analysis.timing is None else {time.output: time for time in analysis.timing.layers}


def axis_names(rank: int) -> tuple[str, ...]:
    """What the spatial axes of an image are called, as many as there are."""
    return _AXES.get(rank, tuple(f"axis {axis}" for axis in range(rank)))


def valid_sizes(analysis: Analysis) -> str:
    """The sizes that the first image may have: `height and width: any from 32`; "" where there is no image."""
    return _by_axis(analysis.valid_sizes)


def unread_input(analysis: Analysis) -> str:
    """The rows and columns of the first image that no output depends on; "" where all count."""
    return _by_axis(analysis.unread_input)


def _by_axis(texts: Sequence[str]) -> str:
    names = axis_names(len(texts))
    if len(set(texts)) == 1 and texts[0]:
        return f"{' and '.join(names)}: {texts[0]}"
    return "; ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True) if text)


def receptive_size(layer: Layer) -> tuple[int, ...]:
    """Pixels that one output value sees along each spatial axis, through global paths too; () where it sees none."""
    return layer.receptive_field.size if layer.receptive_field is not None else ()


def input_size(analysis: Analysis) -> tuple[int, ...]:
    """Height and width, or length, of the first image that a layer reads; empty where there is none."""
    shapes = (shape for layer in analysis.layers for shape in layer.input_shapes if shape and len(shape) > 2)
    return next(shapes, ())[2:]
