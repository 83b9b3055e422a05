"""Which convolutions act at each position alone: 1x1 kernels, which commute with averages over positions."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import Decline, has_one_reader, producer
from cnnc_passes.windows import node_windows

__all__ = ["pointwise", "pointwise_before"]


def pointwise_before(value: ir.Value | None) -> ir.Node | Decline | None:
    """The pointwise convolution that computes `value`, which nothing else reads; None if no 1x1 kernel does."""
    conv = producer(value, "Conv")
    found = pointwise(conv) if conv is not None else None
    if isinstance(found, ir.Node) and not has_one_reader(found.outputs[0]):
        return Decline("another node reads the convolution")
    return found


def pointwise(conv: ir.Node) -> ir.Node | Decline | None:
    """`conv`, if it has a 1x1 kernel and keeps every position; None for another kernel."""
    windows = node_windows(conv)
    if not windows or any(window.kernel != 1 for window in windows):
        return None
    # auto_pad leaves a 1x1 kernel of stride 1 unpadded, whichever it is
    if any(window.stride != 1 or (window.auto_pad == "NOTSET" and any(window.pads)) for window in windows):
        return Decline("the convolution has a stride or padding")
    return conv
