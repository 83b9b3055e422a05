"""Readers that take every s-th position of a feature map, and no other: 1x1 windows and strided Slices."""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir

from cnnc_passes.rewrite import constant
from cnnc_passes.windows import node_windows

__all__ = ["Stride", "is_sampler_only", "sample_stride"]

Stride = tuple[int, ...]
"""The step along each spatial axis."""
_END = 2**31 - 1  # at least this much says "to the end"; exporters write the largest int64


def sample_stride(reader: ir.Node, index: int) -> Stride | None:
    """The step at which `reader` takes its input number `index`, from position 0 on; None if it takes more.

    1 on every axis for an unstrided 1x1 window.
    """
    if index != 0:
        return None
    if reader.op_type == "Slice":
        return _slice_stride(reader)
    if reader.op_type not in ("Conv", "MaxPool", "AveragePool") or any(o.uses() for o in reader.outputs[1:]):
        return None
    windows = node_windows(reader)
    if not windows or any(w.kernel != 1 or w.auto_pad not in ("NOTSET", "VALID") or w.ceil_mode for w in windows):
        return None
    if any(any(w.pads) for w in windows if w.auto_pad == "NOTSET"):
        return None
    return tuple(window.stride for window in windows)


def is_sampler_only(reader: ir.Node) -> bool:
    """True if a sampling reader changes no value: all but the convolution."""
    return reader.op_type != "Conv"


class _Cut(NamedTuple):
    start: int
    end: int
    step: int


def _slice_stride(reader: ir.Node) -> Stride | None:
    x = reader.inputs[0]
    if x is None or x.shape is None or len(x.shape) < 3 or len(reader.inputs) < 3:
        return None
    given = [constant(value) for value in reader.inputs[1:]]
    present = [array for array, value in zip(given, reader.inputs[1:], strict=True) if value is not None]
    if any(array is None for array in present):
        return None
    starts, ends, axes, steps = (
        [int(n) for n in array.reshape(-1)] if array is not None else None for array in [*given, None, None][:4]
    )
    assert starts is not None and ends is not None
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    cuts = {axis % len(x.shape): _Cut(*cut) for axis, *cut in zip(axes, starts, ends, steps, strict=True)}
    for axis, cut in cuts.items():
        size = x.shape[axis]
        to_the_end = cut.end >= (size if isinstance(size, int) else _END)
        if cut.start != 0 or cut.step < 1 or not to_the_end or (axis < 2 and cut.step != 1):
            return None
    return tuple(cuts[axis].step if axis in cuts else 1 for axis in range(2, len(x.shape)))
