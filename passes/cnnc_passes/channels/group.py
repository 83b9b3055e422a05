"""Values whose channels stand and fall together, from the linear operators that make them to those that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from cnnc_passes.channels.cuts import cut_linear, cut_link
from cnnc_passes.channels.links import Link, channel_count, links_of
from cnnc_passes.channels.rebuild import rebuild
from cnnc_passes.forms.elementwise import BROADCASTING
from cnnc_passes.forms.linear import LINEAR, Linear, linear_of
from cnnc_passes.rewrite import Change, Decline, op_name

__all__ = ["ChannelGroup", "Masks"]

Masks = dict[ir.Value, np.ndarray]
"""Value -> one bool per channel."""


class Pin(NamedTuple):
    """Why a value must keep all its channels, and whether because of a reader or of what makes it."""

    value: ir.Value
    reason: str
    by_reader: bool


class ChannelGroup:
    """All values that share channels with the result of `first`, through sums and whatever keeps channels apart.

    Attributes:
        channels: value -> how many.
        links: which channel of one is which of another.
        makers: the linear operators whose outputs are among the values.
        readers: those whose input is, in pairs with it.
        pins: what keeps a value as it is.
        is_led: whether `first` leads the makers. A law that is asked at every maker answers there, for
            the whole group; elsewhere the group is not complete.
    """

    def __init__(self, first: ir.Node) -> None:
        self.channels: dict[ir.Value, int] = {}
        self.links: list[Link] = []
        self.makers: dict[ir.Node, Linear] = {}
        self.readers: list[tuple[Linear, ir.Value]] = []
        self.pins: list[Pin] = []
        self._links_of: dict[ir.Node, list[Link] | None] = {}
        self._graph = first.graph
        self._first = first
        pending = [first.outputs[0]]
        while pending and not self._has_other_leader():
            value = pending.pop()
            if value not in self.channels:
                self.channels[value] = channel_count(value) or 0
                pending += [*self._below(value), *self._above(value)]
        self.is_led = first in self.makers and not self._has_other_leader()

    def _has_other_leader(self) -> bool:
        """Among the makers found last is one of a lesser name: any order will do that is the same for all of them."""
        last = next(reversed(self.makers), self._first)
        return str(last.outputs[0].name) < str(self._first.outputs[0].name)

    def nodes(self) -> list[ir.Node]:
        """Makers, then the nodes that link their values, each after those that it reads."""
        linked = {output: link.node for link in self.links for output in link.node.outputs}
        order: dict[ir.Node, None] = dict.fromkeys(self.makers)
        pending = list(dict.fromkeys(linked.values()))[::-1]
        while pending:
            node = pending[-1]
            before = [linked[x] for x in node.inputs if x in linked and linked[x] not in order]
            if node not in order and not before:
                order[node] = None
            pending += before
            if not before:
                pending.pop()
        return list(order)

    def settle(self, masks: Masks) -> Masks:
        """Take a channel out of all masks where it is missing in one: only whole channels can go."""
        masks = {value: mask.copy() for value, mask in masks.items()}
        before = -1
        while (now := sum(int(mask.sum()) for mask in masks.values())) != before:
            before = now
            for link in (*self.links, *reversed(self.links)):
                source, target = masks[link.source], masks[link.target]
                np.logical_and.at(source, link.sources, target[link.targets])
                target[link.targets] &= source[link.sources]
        return masks

    def removable(self, masks: Masks) -> Masks:
        """`masks` without pinned channels, and without one of each value that would lose them all."""
        masks = dict(masks)
        for pin in self.pins:
            masks[pin.value] = np.zeros(self.channels[pin.value], bool)
        masks = self.settle(masks)
        while emptied := next((value for value, mask in masks.items() if mask.size and mask.all()), None):
            masks[emptied] = masks[emptied].copy()
            masks[emptied][0] = False
            masks = self.settle(masks)
        return masks

    def aligned(self, masks: Masks, multiples: Sequence[int]) -> Masks:
        """`masks` with some channels back: what was a multiple of one of `multiples` stays one of the first such."""
        odd = 0
        while True:
            short = (
                (value, mask, int(mask.sum()) % next((one for one in multiples if not mask.size % one), 1))
                for value, mask in masks.items()
            )
            value, mask, odd = next((one for one in short if one[2]), (None, None, 0))
            if value is None or mask is None:
                return masks
            back = mask.copy()
            back[np.flatnonzero(mask)[:odd]] = False
            masks = self.settle({**masks, value: back})

    def without(self, removed: Masks, absorbed: dict[ir.Node, Linear] | None = None) -> Change | Decline:
        """The change that takes channels out of every value, maker and reader.

        Args:
            removed: settled; at least one channel is.
            absorbed: readers, as they are when what they lose is in their weight or bias; others just lose it.
        """
        kept = {value: ~mask for value, mask in removed.items() if mask.any()}
        readers = {linear.nodes[0]: linear for linear, value in self.readers if value in kept}
        linears = {**self.makers, **readers}
        touched = {link.node for link in self.links if link.source in kept or link.target in kept}
        touched |= {node for node in linears if node in readers or node.outputs[0] in kept}

        def cut(node: ir.Node, inputs: list[ir.Value | None]) -> ir.Node | Decline:
            if node in linears and inputs[0] is not None:
                return cut_linear(linears[node], (absorbed or {}).get(node, linears[node]), inputs[0], kept)
            return cut_link(node, inputs, kept)

        return rebuild([node for node in self._graph or () if node in touched], kept, cut)

    def _above(self, value: ir.Value) -> list[ir.Value]:
        node = value.producer()
        if node is None or not self.channels[value]:
            self._pin(value, f"{value.name!r} is not computed, or its channels are not known")
            return []
        linear = self._linear(node)
        if linear is None:
            return self._through(value, node, by_reader=False)
        if isinstance(linear, Decline):
            self._pin(value, f"{op_name(node)} {node.name!r}: {linear.reason}")
        else:
            self.makers[node] = linear
        return []

    def _below(self, value: ir.Value) -> list[ir.Value]:
        if value.is_graph_output():
            self._pin(value, f"the caller sees {value.name!r}", by_reader=True)
        found = []
        for node, index in value.uses():
            linear = self._linear(node)
            data = index == 0 or op_name(node) in BROADCASTING or node.op_type == "Concat"
            if not data or node.graph is not self._graph:
                self._pin(value, f"{op_name(node)} {node.name!r} takes it as a parameter", by_reader=True)
            elif isinstance(linear, Decline):
                self._pin(value, f"{op_name(node)} {node.name!r}: {linear.reason}", by_reader=True)
            elif linear is not None:
                self.readers.append((linear, value))
            else:
                found += self._through(value, node, by_reader=True)
        return found

    def _through(self, value: ir.Value, node: ir.Node, *, by_reader: bool) -> list[ir.Value]:
        """The values that share channels with `value` by `node`, which reads it or makes it."""
        if node not in self._links_of:
            self._links_of[node] = links_of(node)
            self.links += self._links_of[node] or []
        links = self._links_of[node]
        ends = [end for link in links or [] for end in (link.source, link.target)]
        if links is None or value not in ends:
            self._pin(value, f"{op_name(node)} {node.name!r} does not keep the channels apart", by_reader=by_reader)
            return []
        return ends

    def _linear(self, node: ir.Node) -> Linear | Decline | None:
        """`node` as a linear operator that mixes all channels; None if it is channelwise, or no such operator."""
        if op_name(node) not in LINEAR or (node.op_type == "Conv" and links_of(node) is not None):
            return None
        linear = linear_of(node)
        if isinstance(linear, Linear) and linear.groups > 1:
            return Decline("its groups would become unequal")
        if isinstance(linear, Linear) and "transA" in linear.attributes and linear.attributes["transA"].as_int():
            return Decline("transA is set")
        return linear

    def _pin(self, value: ir.Value, reason: str, *, by_reader: bool = False) -> None:
        self.pins.append(Pin(value, reason, by_reader))
