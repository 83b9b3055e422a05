"""Bounds of every value, per channel, from bounds of the inputs: sound in float arithmetic, rounded outwards."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.links import channel_count
from cnnc_passes.ranges.interval import UNBOUNDED, Interval
from cnnc_passes.ranges.range_rules import RULES
from cnnc_passes.rewrite import constant, op_name
from cnnc_runtime.errors import UsageError

__all__ = ["Bounds", "ValueRanges"]

Bounds = tuple[float, float]
"""(lowest, highest) number."""
_INTEGERS = frozenset({ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16})


class ValueRanges:
    """Bounds of a model's values, computed when they are asked for and kept.

    They hold for what an engine computes in the values' own types with IEEE arithmetic, sums in any order, with
    or without fused multiply-adds, subnormals flushed or not; inputs and weights finite. Not covered are
    convolutions by Winograd's algorithm or the Fourier transform, whose error is larger.

    A kept bound stays right while laws rewrite what lies above, up to their own rounding: the value is the same.

    Args:
        inputs: bounds of the graph's inputs, by name. Others are unbounded, or bounded by their integer type.

    Raises:
        UsageError: bounds that are no interval.
    """

    def __init__(self, inputs: Mapping[str, Bounds] | None = None) -> None:
        self._inputs = dict(inputs or {})
        self._known: dict[ir.Value, Interval] = {}
        for name, (low, high) in self._inputs.items():
            if not low <= high:
                raise UsageError(f"the range of input {name!r} is {low} to {high}: the first must not be larger")

    def of(self, value: ir.Value) -> Interval:
        """The bounds of `value`, (C,) each for C channels on axis 1, or (1,) where that axis is not known."""
        pending = [value]
        while pending:
            top = pending[-1]
            node = top.producer()
            missing = [x for x in node.inputs if x is not None and x not in self._known] if node is not None else []
            if top in self._known:
                pending.pop()
            elif missing:
                pending += missing
            else:
                self._keep(top, node)
        return self._known[value]

    def _keep(self, value: ir.Value, node: ir.Node | None) -> None:
        if node is None or value.const_value is not None:
            self._known[value] = _full(value, self._given(value))
            return
        rule = RULES.get(op_name(node))
        bounds = None if rule is None else rule(node, lambda x: UNBOUNDED if x is None else self._known[x])
        for index, output in enumerate(node.outputs):
            found = bounds[index] if bounds is not None and index < len(bounds) else UNBOUNDED
            self._known[output] = _full(output, found)

    def _given(self, value: ir.Value) -> Interval:
        """Of a constant, a declared input, an integer input; else unbounded."""
        array = constant(value)
        if array is not None:
            return _bounds_of(array)
        if value.is_graph_input() and value.name in self._inputs:
            low, high = self._inputs[value.name]
            return Interval(np.array([float(low)]), np.array([float(high)]))
        if value.is_graph_input() and value.dtype is not None and value.dtype in _INTEGERS:
            limits = np.iinfo(value.dtype.numpy())
            return Interval(np.array([float(limits.min)]), np.array([float(limits.max)]))
        return UNBOUNDED


def _bounds_of(array: np.ndarray) -> Interval:
    if array.dtype.kind not in "fiub" or array.size == 0:
        return UNBOUNDED
    rows = np.moveaxis(array, 1, 0) if array.ndim > 1 else array[None]
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    return Interval(rows.min(axis=1), rows.max(axis=1))


def _full(value: ir.Value, bounds: Interval) -> Interval:
    """One pair per channel; NaN (an infinite difference) says nothing."""
    low, high = (
        np.where(np.isnan(bounds.low), -np.inf, bounds.low),
        np.where(np.isnan(bounds.high), np.inf, bounds.high),
    )
    channels = channel_count(value)
    if channels is None:
        return Interval(low.min(keepdims=True, initial=np.inf), high.max(keepdims=True, initial=-np.inf))
    return Interval(np.broadcast_to(low, (channels,)), np.broadcast_to(high, (channels,)))
