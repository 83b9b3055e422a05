"""Which graph input is the image, and which of its axes are spatial."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["image_inputs", "spatial_axes"]


def image_inputs(graph: ir.Graph) -> list[ir.Value]:
    """The inputs of rank 3 and more, (N, C, *spatial): no overridable weights."""
    return [
        value
        for value in graph.inputs
        if value.const_value is None and value.shape is not None and len(value.shape) >= 3
    ]


def spatial_axes(image: ir.Value) -> tuple[int, ...]:
    """All after batch and channels; of a channels-last image those that its Transpose to channels-first says.

    Only a Transpose whose output a convolution or a pooling reads counts: others make tokens of an image.
    """
    assert image.shape is not None
    for node, _ in image.uses():
        perm = node.attributes.get_ints("perm", None) if op_name(node) == "Transpose" else None
        if perm is not None and any(op_name(use.node) in CONVOLUTIONS | POOLINGS for use in node.outputs[0].uses()):
            return tuple(perm[2:])
    return tuple(range(2, len(image.shape)))
