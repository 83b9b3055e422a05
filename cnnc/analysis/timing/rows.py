"""Kernels and whose they are -> the rows of a timing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cnnc.analysis.layer import Layer
from cnnc.analysis.result import Analysis
from cnnc.analysis.timing.attribution import Fused, attribute
from cnnc.analysis.timing.result import Ceilings, EngineTime, LayerTime
from cnnc.analysis.timing.roofline import bound_of, group_bytes, group_flops, hint_for
from cnnc.analysis.timing.trace import Kernel

__all__ = ["Rows"]


class Rows:
    """The rows of a timing.

    Args:
        kernels: of the engine's graph, timed.
        analysis: of the model that ran.
        ceilings: of the roofline.
    """

    def __init__(self, kernels: Sequence[Kernel], analysis: Analysis, ceilings: Ceilings) -> None:
        self.ceilings = ceilings
        self._kernels = kernels
        self._sizes = analysis.sizes
        self._layers = {layer.output: layer for layer in analysis.layers}
        self._nodes = {str(node.outputs[0].name): node for node in analysis.model.graph}
        self._found = attribute(kernels, analysis)
        self._all_seconds = sum(kernel.seconds for kernel in kernels)

    def layers(self) -> tuple[LayerTime, ...]:
        """One for each layer, in the order of the analysis."""
        groups = {output: group for group in self._found.groups for output in group.layers}
        nothing = Fused(layers=(), kernels=())
        return tuple(
            self._main(layer, groups.get(output, nothing))
            if groups.get(output, nothing).layers[:1] in ((), (output,))
            else self._fused(layer, groups[output])
            for output, layer in self._layers.items()
        )

    def engine(self) -> tuple[EngineTime, ...]:
        """The kernels that are no layers, each after those that it reads."""
        rows = [*self._found.layout, *self._found.shapes]
        return tuple(self._engine_row(index) for index in sorted(rows))

    @property
    def unattributed(self) -> tuple[str, ...]:
        """The kernels that no rule knows."""
        return tuple(self._kernels[index].title for index in self._found.unknown)

    @property
    def unattributed_seconds(self) -> float:
        """Their time."""
        return sum(self._kernels[index].seconds for index in self._found.unknown)

    def _main(self, layer: Layer, group: Fused) -> LayerTime:
        outputs = group.layers or (layer.output,)
        layers = [self._layers[output] for output in outputs]
        seconds = sum(self._kernels[index].seconds for index in group.kernels)
        flops = group_flops(layers)
        copies = any(one.read_bytes or one.written_bytes for one in layers)  # a view copies nothing
        moved = group_bytes([self._nodes[output] for output in outputs], self._sizes) if copies else 0
        share = self._share(seconds)
        of_roof = self.ceilings.roof_seconds(flops, moved) / seconds if seconds and (flops or moved) else None
        return LayerTime(
            output=layer.output,
            name=layer.name,
            op=layer.op,
            seconds=seconds,
            share=share,
            kernels=tuple(self._kernels[index].title for index in group.kernels),
            fused_into=None,
            flops=flops,
            moved_bytes=moved,
            flops_per_second=flops / seconds if seconds else None,
            bytes_per_second=moved / seconds if seconds else None,
            bound=bound_of(flops, moved, self.ceilings),
            of_roof=of_roof,
            hint=hint_for(layer, self._nodes[layer.output], seconds, share, of_roof),
        )

    def _fused(self, layer: Layer, group: Fused) -> LayerTime:
        return LayerTime(
            output=layer.output,
            name=layer.name,
            op=layer.op,
            seconds=0.0,
            share=0.0,
            kernels=tuple(self._kernels[index].title for index in group.kernels),
            fused_into=self._layers[group.layers[0]].name,
            flops=0,
            moved_bytes=0,
            flops_per_second=None,
            bytes_per_second=None,
            bound=None,
            of_roof=None,
            hint="",
        )

    def _engine_row(self, index: int) -> EngineTime:
        kernel = self._kernels[index]
        purpose: Literal["layout", "shape"] = "layout" if index in self._found.layout else "shape"
        share = self._share(kernel.seconds)
        return EngineTime(kernel.title, purpose, self._readers(index), kernel.seconds, share)

    def _readers(self, index: int) -> tuple[str, ...]:
        """The layers that read the kernel's output, through others that are no layers either."""
        main = {one: group.layers[0] for group in self._found.groups for one in group.kernels}
        found: dict[str, None] = {}
        waiting, seen = [index], {index}
        while waiting:
            written = set(self._kernels[waiting.pop()].outputs)
            readers = [
                other
                for other, kernel in enumerate(self._kernels)
                if other not in seen and not written.isdisjoint(kernel.inputs)
            ]
            seen.update(readers)
            found.update({self._layers[main[other]].name: None for other in readers if other in main})
            waiting += [other for other in readers if other not in main]
        return tuple(found) or ("output",)

    def _share(self, seconds: float) -> float:
        return seconds / self._all_seconds if self._all_seconds else 0.0
