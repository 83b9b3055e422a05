"""Which graph input is the image, and which of its axes are spatial."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["image_inputs", "spatial_axes"]


# Gather: of channels, from BGR to RGB
_IN_PLACE = frozenset({"Cast", "Add", "Sub", "Mul", "Div", "Gather", "Pad", "Clip", "Identity"})


def image_inputs(graph: ir.Graph) -> list[ir.Value]:
    """The inputs of rank 3 and more, (N, C, *spatial): no overridable weights."""
    return [
        value
        for value in graph.inputs
        if value.const_value is None and value.shape is not None and len(value.shape) >= 3
    ]


def spatial_axes(image: ir.Value) -> tuple[int, ...]:
    """All after batch and channels; of a channels-last image those that its Transpose to channels-first says.

    Before the Transpose there may be a preprocessing's arithmetic. Only one whose output a convolution or a pooling
    reads counts: others make tokens of an image.
    """
    assert image.shape is not None
    for value in _prepared(image):
        for node, _ in value.uses():
            perm = node.attributes.get_ints("perm", None) if op_name(node) == "Transpose" else None
            windowed = (use for moved in _prepared(node.outputs[0]) for use in moved.uses())
            if perm is not None and any(op_name(use.node) in CONVOLUTIONS | POOLINGS for use in windowed):
                return tuple(perm[2:])
    return tuple(range(2, len(image.shape)))


def _prepared(image: ir.Value) -> list[ir.Value]:
    """`image`, and what follows from it by operators that leave every pixel in its place."""
    values = [image]
    for value in values:
        for node, index in value.uses():
            if op_name(node) in _IN_PLACE and index == 0 and node.outputs[0] not in values:
                values.append(node.outputs[0])
    return values
