"""What an analysis found: a line a layer, the totals, and what was measured; plain data, exact numbers."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from cnnc.analysis.layer import FullyConnected, Layer
from cnnc.analysis.memory import Memory
from cnnc.analysis.parameters import Constants
from cnnc_runtime.metadata import Metadata

if TYPE_CHECKING:
    import pandas

    from cnnc.analysis.activations.result import ActivationHealth
    from cnnc.analysis.timing.result import Timing
    from cnnc.engine_graph.barriers import Barrier

__all__ = ["Analysis", "KindTotals", "Totals"]


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over the model.

    Attributes:
        params: learned values; shared ones count once.
        macs, flops: of one inference at `Analysis.batch`.
        weight_bytes: of all constants.
        read_bytes, written_bytes: of all layers, from and to memory, if no two of them are fused.
        peak_activation_bytes: the most that live activations take at once, in the engine's order of execution.
        fully_connected: the same model with every convolution replaced by its fully connected layer.
    """

    params: int
    macs: int
    flops: int
    weight_bytes: int
    read_bytes: int
    written_bytes: int
    peak_activation_bytes: int
    fully_connected: FullyConnected

    @property
    def ratio(self) -> float | None:
        """How many times the parameters the model would have without convolutions."""
        return self.fully_connected.params / self.params if self.params else None


@dataclasses.dataclass(frozen=True)
class KindTotals:
    """Sums over the layers of one kind; see `Totals`. `layers` is their number. Shared parameters count at each."""

    layers: int
    params: int
    macs: int
    flops: int
    read_bytes: int
    written_bytes: int


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What every layer of a model costs.

    Attributes:
        name: of the model, as it was named.
        batch: the batch size that MACs, FLOPs and bytes are counted at.
        totals, layers: the costs.
        constants: what the graph's constants are.
        memory: weights, and activations by liveness.
        uncounted: operators whose FLOPs are not known here, and how many nodes of each there are.
        source: the costs of the network from which cnnc compiled this model, before any rewrite, if it says so.
        model: the graph, with its shapes.
        open_model: the same with the sizes open that `analyze` was given numbers for.
        sizes: the values of its open sizes that the figures hold for.
        timing: measured times, where they were asked for.
        activations: the activations on real data, where they were asked for.
    """

    name: str
    batch: int
    totals: Totals
    layers: tuple[Layer, ...]
    constants: Constants
    memory: Memory
    uncounted: dict[str, int]
    source: dict[str, int] | None
    model: ir.Model = dataclasses.field(repr=False, compare=False)
    open_model: ir.Model = dataclasses.field(repr=False, compare=False)
    sizes: dict[str, int] = dataclasses.field(repr=False)
    timing: Timing | None = None
    activations: ActivationHealth | None = None

    @property
    def convention(self) -> str:
        """What the numbers count, in one line."""
        return f"1 MAC = 2 FLOPs; MACs of convolution and fully connected layers; batch {self.batch}"

    @functools.cached_property
    def expressions(self) -> dict[str, str]:
        """MACs and FLOPs in the sizes that the model leaves open, `{"macs": "1814073344*batch", ...}`; or nothing."""
        from cnnc.analysis.expressions import cost_expressions

        return cost_expressions(self.open_model.graph)

    @functools.cached_property
    def valid_sizes(self) -> tuple[str, ...]:
        """Per spatial axis of the first image-like input, the sizes that the graph takes: `multiples of 16 from 32`."""
        from cnnc.analysis.geometry import valid_sizes

        return tuple(axis.text for axis in valid_sizes(self.model, self.sizes))

    @functools.cached_property
    def unread_input(self) -> tuple[str, ...]:
        """Per spatial axis of the first image-like input, the positions that no output depends on; "" for none."""
        from cnnc.analysis.geometry import unread_input

        images = unread_input(self.model.graph, self.sizes)
        return tuple(axis.text if axis.count else "" for axis in next(iter(images.values()), ()))

    @functools.cached_property
    def barriers(self) -> tuple[Barrier, ...] | None:
        """What forced layout conversions in the engine where an artifact was compiled; None where nothing says."""
        from cnnc.engine_graph.barriers import barriers_from

        metadata = Metadata.from_props(self.model.metadata_props)
        return barriers_from(metadata.report) if metadata is not None and metadata.report is not None else None

    def by_kind(self) -> dict[str, KindTotals]:
        """Layers, parameters, MACs, FLOPs and bytes by kind of layer, in the order of `KINDS`; empty kinds left out."""
        from cnnc.analysis.kinds import KINDS

        names = [field.name for field in dataclasses.fields(KindTotals) if field.name != "layers"]
        found = {}
        for kind in KINDS:
            layers = [layer for layer in self.layers if layer.kind == kind]
            sums = {name: sum(getattr(layer, name) for layer in layers) for name in names}
            if layers:
                found[kind] = KindTotals(layers=len(layers), **sums)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data: exact integers, shapes as lists; the schema is in docs/analysis.md."""
        from cnnc.analysis.formats import as_dict

        return as_dict(self)

    def to_json(self) -> str:
        """One JSON document."""
        from cnnc.analysis.formats import as_json

        return as_json(self)

    def to_csv(self) -> str:
        """A header and one line a layer; sizes are joined by `x`, several inputs by a space."""
        from cnnc.analysis.formats import as_csv

        return as_csv(self)

    def to_dataframe(self) -> pandas.DataFrame:
        """A row a layer, the columns of the CSV.

        Raises:
            UsageError: pandas is not installed.
        """
        from cnnc.analysis.formats import as_dataframe

        return as_dataframe(self)
