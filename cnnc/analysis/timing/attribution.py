"""Kernel of the engine's optimized graph -> the layers of the analysis that it computes.

What onnxruntime does to names, and the rules that follow:
a fused node keeps the output name of the last node it replaces, so a kernel is anchored at the layer of that output,
and the layers between its inputs and there belong to it;
a convolution, normalization or pooling in the blocked layout writes an output with a new name, and is itself named
`<old output>_nchwc`, or `<old output>_bn_nchwc`; what it fuses behind that, a sum and an activation, shows in its own
inputs and attributes;
other nodes that move into the blocked layout keep their own names.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.layer import Layer
from cnnc.analysis.result import Analysis
from cnnc.analysis.timing.trace import Kernel
from cnnc_passes.rewrite import op_name

__all__ = ["Attribution", "attribute"]

_BLOCKED = re.compile(r"(?P<output>.+)_nchwc(?:_token_\d+)?")
_REORDERS = frozenset({"ReorderInput", "ReorderOutput"})
_LAYOUT = _REORDERS | {"Transpose", "Cast", "Reshape", "Squeeze", "Unsqueeze"}
_SUMS = frozenset({"Add", "Sum"})


@dataclasses.dataclass(frozen=True)
class Fused:
    """Layers that are computed together, by their outputs, the main one first; and the indices of their kernels."""

    layers: tuple[str, ...]
    kernels: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Attribution:
    """Whose every kernel is.

    Attributes:
        groups: the layers; one that the engine has dropped may be in none.
        layout: kernels that only copy.
        shapes: kernels that compute on shapes.
        unknown: the rest.
    """

    groups: tuple[Fused, ...]
    layout: tuple[int, ...]
    shapes: tuple[int, ...]
    unknown: tuple[int, ...]


def attribute(kernels: Sequence[Kernel], analysis: Analysis) -> Attribution:
    """Give every kernel its layers, and every layer its kernel.

    A layer that no kernel is named after belongs to the kernel of the one layer that reads it (a convolution before
    its activation), or else to that of what it reads (an Identity, which the engine removes).
    """
    known = _Layers(analysis)
    anchors = {index: anchor for index, kernel in enumerate(kernels) if (anchor := known.anchor(kernel)) is not None}
    owner = {anchor: anchor for anchor in anchors.values()}
    for index, anchor in anchors.items():
        owner |= dict.fromkeys(known.fused_after(kernels[index], anchor, owner), anchor)
    known.settle(owner)
    _adopt(kernels, anchors, known)
    groups = tuple(
        Fused(
            layers=known.main_first(anchor, [output for output in known.nodes if owner.get(output) == anchor]),
            kernels=tuple(sorted(index for index, one in anchors.items() if one == anchor)),
        )
        for anchor in dict.fromkeys(owner.values())
    )
    rest = [index for index in range(len(kernels)) if index not in anchors]
    shapes = tuple(index for index in rest if known.computes_shape(kernels[index]))
    layout = tuple(index for index in rest if kernels[index].op in _LAYOUT and index not in shapes)
    return Attribution(groups, layout, shapes, tuple(index for index in rest if index not in {*layout, *shapes}))


def _adopt(kernels: Sequence[Kernel], anchors: dict[int, str], known: _Layers) -> None:
    """Give what has a name of the engine's own, and only one layer reads, to that layer: it was taken apart."""
    readers: dict[str, set[int]] = {}
    for index, kernel in enumerate(kernels):
        for value in kernel.inputs:
            readers.setdefault(value, set()).add(index)
    for index, kernel in reversed(list(enumerate(kernels))):
        if index in anchors or kernel.op in _LAYOUT or known.computes_shape(kernel):
            continue
        found = {anchors.get(reader) for value in kernel.outputs for reader in readers.get(value, ())}
        if len(found) == 1 and (only := found.pop()) is not None:
            anchors[index] = only


class _Layers:
    """The layers of an analysis by the names that kernels keep. A layer is called by its first output."""

    def __init__(self, analysis: Analysis) -> None:
        layers = {layer.output: layer for layer in analysis.layers}
        graph = analysis.model.graph
        self.layers: Mapping[str, Layer] = layers
        self.nodes = {name: node for node in graph if (name := str(node.outputs[0].name)) in layers}
        self.of_value = {str(value.name): name for name, node in self.nodes.items() for value in node.outputs}
        self.of_node = {str(node.name): name for name, node in self.nodes.items() if node.name}
        others = [node for node in graph if str(node.outputs[0].name) not in layers]
        self.other_names = {str(value.name) for node in others for value in node.outputs}
        self.other_names |= {str(node.name) for node in others if node.name}

    def computes_shape(self, kernel: Kernel) -> bool:
        return kernel.name in self.other_names or not self.other_names.isdisjoint(kernel.outputs)

    def anchor(self, kernel: Kernel) -> str | None:
        """The last layer that the kernel computes, as far as names say."""
        if kernel.op in _REORDERS:
            written = self.of_value.get(kernel.outputs[0])  # a Transpose can be done on the way
            return written if written is not None and self.nodes[written].op_type == "Transpose" else None
        if blocked := _BLOCKED.fullmatch(kernel.name):
            output = blocked["output"]
            for name in (output, output.removesuffix("_bn")):
                if name in self.of_value:
                    return self.of_value[name]
        named = [self.of_value[value] for value in kernel.outputs if value in self.of_value]
        if named and (kernel.op not in _LAYOUT or self.layers[named[0]].kind == "data movement"):
            return named[0]  # else a copy took over the name, and the layer's own kernel got a new one
        same = self.of_node.get(kernel.name)
        return same if same is not None and self.nodes[same].op_type == kernel.op else None

    def fused_after(self, kernel: Kernel, anchor: str, owner: Mapping[str, str]) -> list[str]:
        """The sum and the activation behind `anchor` that a blocked kernel took in, by what it has and still lacks."""
        if not _BLOCKED.fullmatch(kernel.name):
            return []
        chain = self._chain(anchor, owner)
        ops = {self.nodes[output].op_type for output in chain}
        adds = has_sum(kernel.inputs) and not ops & _SUMS and not has_sum(self.nodes[chain[-1]].inputs)
        activates = kernel.activation and not any(self._activates(output) for output in chain)
        fused: list[str] = []
        while (reader := self._sole_reader(fused[-1] if fused else anchor, owner)) is not None:
            if adds and self.nodes[reader].op_type in _SUMS:
                adds = False
            elif activates and self.layers[reader].kind == "activation":
                adds = activates = False
            else:
                break
            fused.append(reader)
        return fused

    def _chain(self, anchor: str, owner: Mapping[str, str]) -> list[str]:
        """From `anchor` back to the layer with MACs, through layers that belong to no kernel yet."""
        chain = [anchor]
        while not self.layers[chain[-1]].macs:
            read = self.nodes[chain[-1]].inputs
            before = [self.of_value[str(value.name)] for value in read if value and value.name in self.of_value]
            free = [output for output in before if output not in owner]
            if len(free) != 1:
                break
            chain.append(free[0])
        return chain

    def _activates(self, output: str) -> bool:
        fused = self.nodes[output].attributes.get("activation")
        return fused is not None or (self.layers[output].kind == "activation")

    def _sole_reader(self, output: str, owner: Mapping[str, str]) -> str | None:
        readers = self._readers(output)
        if len(readers) != 1 or self.nodes[output].outputs[0].is_graph_output():
            return None
        (reader,) = readers
        return None if reader in owner else reader

    def _readers(self, output: str) -> set[str]:
        values = self.nodes[output].outputs
        readers = {str(node.outputs[0].name) for value in values for node in value.consumers()}
        return readers & self.nodes.keys()

    def settle(self, owner: dict[str, str]) -> None:
        """Give the layers without an owner the one of their twin, of their readers, or of what they read."""
        self._settle_twins(owner)
        for output in reversed(self.nodes):
            owners = {owner.get(reader) for reader in self._readers(output)}
            if output not in owner and len(owners) == 1 and (only := owners.pop()) is not None:
                owner[output] = only
        for output, node in self.nodes.items():
            if output not in owner:
                read = [self.of_value.get(str(value.name), "") for value in node.inputs if value is not None]
                found = [owner[name] for name in (*read, *self._readers(output)) if name in owner]
                owner.update({output: found[0]} if found else {})

    def _settle_twins(self, owner: dict[str, str]) -> None:
        """The engine computes only once what several nodes compute alike."""
        twins: dict[object, str] = {}
        same: dict[str, str] = {}
        for output, node in self.nodes.items():
            read = [None if value is None else same.get(str(value.name), value.name) for value in node.inputs]
            key = (op_name(node), tuple(read), str(sorted(node.attributes.items())))
            twin = twins.setdefault(key, output)
            if twin == output or len(node.outputs) > 1:
                continue
            same[output] = twin
            first, second = owner.get(twin), owner.get(output)
            if (first is None) != (second is None):
                owner[twin] = owner[output] = str(first or second)

    def main_first(self, anchor: str, group: Sequence[str]) -> tuple[str, ...]:
        """The layer with the most MACs; of layers without any, the one that the kernel is named after."""
        main = max(group, key=lambda output: (self.layers[output].macs, output == anchor))
        return (main, *(output for output in group if output != main))


def has_sum(inputs: Sequence[str | ir.Value | None]) -> bool:
    """Whether a convolution has the fourth input, a tensor that is added to its result."""
    return len(inputs) > 3 and bool(inputs[3])
