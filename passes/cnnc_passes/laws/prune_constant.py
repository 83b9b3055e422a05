"""Conv(x)[:, c] = k for all x => no filter c, and W[:, c]*k in the bias of each reader. Equal up to rounding.

Where a reader pads, its border sees zeros in place of k, and a bias would be wrong there. So of all such channels
one stays, channel j that holds l, and takes the others' part with its own: W[:, j] + W[:, c]*k/l.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.constant import Known, constant_channels, is_unpadded
from cnnc_passes.channels.cuts import input_axis
from cnnc_passes.channels.group import ChannelGroup, Masks
from cnnc_passes.forms.linear import LINEAR, Linear, fits
from cnnc_passes.laws.prune_unread import unread_inputs
from cnnc_passes.ranges.value_ranges import Bounds, ValueRanges
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["PruneConstant"]


class PruneConstant(Rewrite):
    """Remove the channels that hold one number whatever the input is, and tell their readers the number.

    A channel is constant after a filter of zeros, a scale of zero (BatchNormalization's gamma, LayerScale),
    and through what follows; with `ranges`, also where its bounds are equal: before a dead Relu. It goes from
    the whole group of values that share it, so both sides of a sum must agree on it where it is read.

    Declines if a reader pads, the number is not 0 and no other channel can stand in for it; the other side of
    a sum varies; the channel is the last of a value; or something in the group is not a linear operator with
    constant weights and one group, nor keeps channels apart.

    Args:
        ranges: bounds of the graph's inputs, by name, that the caller promises to keep; an empty mapping
            counts on what integer inputs can hold. None: nothing is known of the inputs.
        multiples: as in prune-unread.
    """

    roots = frozenset(LINEAR)
    example = """
        g (float[N,1,4,4] x) => (float[N,1,4,4] y)
        <float[2,1,1,1] w = {2,0}, float[2] b = {1,5}, float[1,2,1,1] v = {3,4}>
        { c = Conv (x, w, b)  r = Relu (c)  y = Conv (r, v) }
    """

    def __init__(self, ranges: Mapping[str, Bounds] | None = None, multiples: Sequence[int] = ()) -> None:
        self._multiples = multiples
        self._ranges = ValueRanges(ranges) if ranges is not None else None

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the group of values that share channels with the node's result."""
        group = ChannelGroup(node)
        if not group.is_led:
            return None
        known = constant_channels(group.nodes(), group.makers, self._ranges)
        if not any(np.isfinite(numbers).any() for numbers in known.values()):
            return None
        for value, channels in group.channels.items():
            known.setdefault(value, np.full(channels, np.nan))
        wanted = _read_as_constants(group, known)
        removed = group.removable(wanted)
        while keeper := next(filter(None, (_keeper(linear, removed, known) for linear, _ in group.readers)), None):
            removed[keeper[0]][keeper[1]] = False
            removed = group.settle(removed)
        if not any((removed[value] & np.isfinite(known[value])).any() for _, value in group.readers):
            return Decline(_reason(group, known, wanted))
        removed = group.aligned(removed, self._multiples)
        if not any((removed[value] & np.isfinite(known[value])).any() for _, value in group.readers):
            return Decline(f"what is left would be no multiple of {' or '.join(map(str, self._multiples))} channels")
        absorbed: dict[ir.Node, Linear] = {}
        for linear, value in group.readers:
            taken = _absorb(linear, np.where(removed[value], np.nan_to_num(known[value]), 0.0), known[value])
            if isinstance(taken, Decline):
                return taken
            absorbed[linear.nodes[0]] = taken
        return self._bounded(group.without(removed, absorbed))

    def _bounded(self, answer: Change | Decline) -> Change | Decline:
        """With the bounds that the declared ranges give to what the change reads."""
        if self._ranges is None or isinstance(answer, Decline):
            return answer
        made = {output for node in answer.remove for output in node.outputs}
        read = {value: None for node in answer.remove for value in node.inputs if value is not None}
        outside = [value for value in read if value not in made and value.const_value is None]
        return dataclasses.replace(answer, within={value: self._ranges.of(value) for value in outside})


def _read_as_constants(group: ChannelGroup, known: Known) -> Masks:
    """The channels that every reader either sees as a number, or does not use."""
    masks: Masks = {value: np.ones(channels, bool) for value, channels in group.channels.items()}
    for linear, value in group.readers:
        masks[value] &= unread_inputs(linear) | np.isfinite(known[value])
    for pin in group.pins:
        if pin.by_reader:
            masks[pin.value] &= np.isfinite(known[pin.value])
    return group.settle(masks)


def _keeper(linear: Linear, removed: Masks, known: Known) -> tuple[ir.Value, int] | None:
    """The channel that has to stay, and may go so far, for `linear` to see at its border what it saw."""
    value = linear.inputs[0]
    numbers = np.nan_to_num(known[value])
    if _has_no_border(linear) or not (removed[value] & (numbers != 0) & ~unread_inputs(linear)).any():
        return None
    largest = _largest(numbers)
    return (value, largest) if removed[value][largest] else None


def _absorb(linear: Linear, gone: np.ndarray, numbers: np.ndarray) -> Linear | Decline:
    """The reader when channels that held `gone` (0 where nothing went) are no longer there: bias or weight."""
    if not (gone * ~unread_inputs(linear)).any():
        return linear
    if _has_no_border(linear):
        return dataclasses.replace(linear, bias=linear.bias + linear.summed_over(gone))
    keeper = _largest(np.nan_to_num(numbers))
    axis = input_axis(linear)
    weight = np.moveaxis(linear.weight.astype(np.float64), axis, 0)
    weight[keeper] += np.tensordot(gone / numbers[keeper], weight, axes=1)
    merged = np.moveaxis(weight, 0, axis)
    if not fits(merged, linear.weight.dtype):
        return Decline(f"a merged weight does not fit {linear.weight.dtype}")
    return dataclasses.replace(linear, weight=merged.astype(linear.weight.dtype))


def _largest(numbers: np.ndarray) -> int:
    return int(np.argmax(np.abs(numbers)))


def _has_no_border(linear: Linear) -> bool:
    """True if the operator makes a constant of a constant."""
    return linear.op == "Gemm" or (linear.op == "Conv" and is_unpadded(linear.nodes[0]))


def _reason(group: ChannelGroup, known: Known, wanted: Masks) -> str:
    """Why no constant channel could go."""
    is_constant = {value: np.isfinite(numbers) for value, numbers in known.items() if value in group.channels}
    read = [value for _, value in group.readers] + [pin.value for pin in group.pins if pin.by_reader]
    if not any(is_constant[value].any() for value in read):
        return "the other side of a sum varies, or nothing reads it as a constant"
    if not any((is_constant[value] & wanted[value]).any() for value in read):
        return "not every reader sees a constant"
    reasons = [pin.reason for pin in group.pins if wanted[pin.value].any()]
    if not reasons and any(mask.any() for mask in group.removable(wanted).values()):
        return "padding follows, the constant is not 0, and no other channel can stand in for it"
    return reasons[0] if reasons else "one channel has to stay"
