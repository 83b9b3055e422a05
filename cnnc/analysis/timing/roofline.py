"""The time of a group of fused layers against the roofline, and a hint where it is far from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.layer import Layer
from cnnc.analysis.timing.result import Bound, Ceilings
from cnnc_passes.costs import value_bytes

__all__ = ["bound_of", "group_bytes", "group_flops", "hint_for"]

_FAR = 0.25  # of the roof
_WORTH_A_LOOK = 0.02  # of the time
_FEW_CHANNELS = 16  # floats of the widest vector register
_SMALL_MAP = 49  # positions: 7x7
_CALL = 1e-5  # seconds; a kernel's own work is hardly more than being called and sharing it out


def group_flops(layers: Sequence[Layer]) -> int:
    """Of the main layer, which stands first, if it has MACs: what is fused into it costs next to nothing, and a folded
    BatchNormalization is not computed at all. Else of all layers.
    """
    return layers[0].flops if layers[0].macs else sum(layer.flops for layer in layers)


def group_bytes(nodes: Sequence[ir.Node], sizes: Mapping[str, int]) -> int:
    """The compulsory traffic of fused nodes: what they read from elsewhere, once, and what others read of them."""
    inside = set(nodes)
    read = {value for node in nodes for value in node.inputs if value is not None and value.producer() not in inside}
    written = {
        value
        for node in nodes
        for value in node.outputs
        if value.is_graph_output() or any(reader not in inside for reader in value.consumers())
    }
    return sum(value_bytes(value, sizes) for value in read | written)


def bound_of(flops: int, moved_bytes: int, ceilings: Ceilings) -> Bound | None:
    """The ceiling over an intensity of `flops / moved_bytes`; None where there is nothing to compute and to move."""
    if not flops and not moved_bytes:
        return None
    return "compute" if flops >= ceilings.ridge * moved_bytes else "memory"


def hint_for(layer: Layer, node: ir.Node, seconds: float, share: float, of_roof: float | None) -> str:
    """Why a layer that matters is far below the roof; "" for any other layer."""
    if of_roof is None or of_roof >= _FAR or share <= _WORTH_A_LOOK:
        return ""
    return "; ".join(_causes(layer, node, seconds)) or "no cause known"


def _causes(layer: Layer, node: ir.Node, seconds: float) -> list[str]:
    causes = []
    weight = node.inputs[1] if layer.kind == "convolution" and len(node.inputs) > 1 else None
    if weight is not None and weight.shape is not None and layer.input_shapes[0] is not None:
        groups, channels = (
            node.attributes.get_int("groups", node.attributes.get_int("group", 1)),
            layer.input_shapes[0][1],
        )
        if groups > 1 and groups == channels:
            causes.append("depthwise convolution: each value is used for one channel only")
        elif groups > 1:
            causes.append(f"convolution in {groups} groups: {channels // groups} channels each")
        elif channels < _FEW_CHANNELS:
            causes.append(f"few channels: {channels} in, which do not fill a vector register")
    shape = layer.output_shape or ()
    positions = math.prod(shape[2:])
    if layer.macs and len(shape) > 2 and positions <= _SMALL_MAP:
        causes.append(f"small map: {positions} positions for each weight")
    if seconds < _CALL:
        causes.append("small: the call of the kernel counts")
    if not layer.macs and not causes:
        causes.append("no product: a pass of its own over the data")
    return causes
