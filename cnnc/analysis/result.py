"""What an analysis found: a line a layer, and the totals; plain data, exact numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any

import onnx_ir as ir

__all__ = ["SCHEMA_VERSION", "Analysis", "FullyConnected", "Layer", "Totals"]

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class FullyConnected:
    """Parameters and MACs of the fully connected layers that would compute the same."""

    params: int
    macs: int


@dataclasses.dataclass(frozen=True)
class Layer:
    """One operator of the graph.

    Attributes:
        name: the PyTorch module's path where the exporter recorded it, else the node's name.
        op: the ONNX operator, `com.microsoft::FusedConv` for those of other domains.
        input_shapes: of the activations it reads; weights are not among them.
        output_shape: of its first output; None where it depends on the data.
        size_formula: per spatial axis, how the output size comes about, its numbers filled in.
        params, macs, flops: see `cnnc_passes.costs.Cost`.
        macs_share: of the model's MACs, 0 to 1.
        fully_connected: the dense layer that a convolution stands for, which connects every input value to
            every output value; None for any other operator.
    """

    name: str
    op: str
    input_shapes: tuple[tuple[int, ...] | None, ...]
    output_shape: tuple[int, ...] | None
    size_formula: tuple[str, ...]
    params: int
    macs: int
    flops: int
    macs_share: float
    fully_connected: FullyConnected | None

    @property
    def ratio(self) -> float | None:
        """How many times the parameters a fully connected layer would have; None where there is no such layer."""
        return self.fully_connected.params / self.params if self.fully_connected and self.params else None


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over the model.

    Attributes:
        params: learned values; shared ones count once.
        macs, flops: of one inference at `Analysis.batch`.
        weight_bytes: of all constants.
        peak_activation_bytes: the most that live activations take at once, in the graph's order of execution.
        fully_connected: the same model with every convolution replaced by its fully connected layer.
    """

    params: int
    macs: int
    flops: int
    weight_bytes: int
    peak_activation_bytes: int
    fully_connected: FullyConnected

    @property
    def ratio(self) -> float | None:
        """How many times the parameters the model would have without convolutions."""
        return self.fully_connected.params / self.params if self.params else None


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What every layer of a model costs.

    Attributes:
        name: of the model, as it was named.
        batch: the batch size that MACs, FLOPs and bytes are counted at.
        totals, layers: the costs.
        source: the costs of the network from which cnnc compiled this model, before any rewrite, if it says so.
        model: the graph, with its shapes.
    """

    name: str
    batch: int
    totals: Totals
    layers: tuple[Layer, ...]
    source: dict[str, int] | None
    model: ir.Model = dataclasses.field(repr=False, compare=False)

    @property
    def convention(self) -> str:
        """What the numbers count, in one line."""
        return f"1 MAC = 2 FLOPs; MACs of convolution and fully connected layers; batch {self.batch}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: exact integers, shapes as lists."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.name,
            "batch": self.batch,
            "convention": self.convention,
            "totals": dataclasses.asdict(self.totals),
            "source": self.source,
            "layers": [{**dataclasses.asdict(layer), "ratio": layer.ratio} for layer in self.layers],
        }

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.to_dict())

    def to_csv(self) -> str:
        """A header and one line a layer; sizes are joined by `x`, several inputs by a space."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            [
                *("name", "op", "input_shapes", "output_shape", "size_formula", "params", "macs", "flops"),
                *("macs_share", "fully_connected_params", "fully_connected_macs"),
            ]
        )
        for layer in self.layers:
            dense = layer.fully_connected
            inputs = " ".join(map(_joined, layer.input_shapes))
            formulas = "; ".join(layer.size_formula)
            writer.writerow(
                [
                    *(layer.name, layer.op, inputs, _joined(layer.output_shape), formulas),
                    *(layer.params, layer.macs, layer.flops, layer.macs_share),
                    *((dense.params, dense.macs) if dense else ("", "")),
                ]
            )
        return text.getvalue()


def _joined(shape: tuple[int, ...] | None) -> str:
    return "?" if shape is None else "x".join(map(str, shape))
