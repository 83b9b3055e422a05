"""What was measured: a record a layer, and what is wrong in sentences; plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from cnnc.analysis.activations.projection import Projection

__all__ = ["ActivationHealth", "Histogram", "LayerActivations"]


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Counts of up to 32 bins of equal width, and their edges, one more; `edges[i] <= x < edges[i + 1]`."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class LayerActivations:
    """What one layer put out on the data; statistics are of the finite values, NaN where there are none.

    A unit is what has weights of its own: a channel of a map, an element of a vector. An element is one position
    of the output of one sample. Either is dead where it was above zero for no sample (a channel: at no position).

    Attributes:
        name, op: as in the analysis; `kind` is `linear`, `normalization`, `activation` or `pool`.
        depth: linear layers on the longest path from an input to here, this one included.
        shape: of one sample's output.
        mean, variance, minimum, maximum: over all samples and elements; the variance is the population's.
        sample_variance: of one element over the samples, the mean over (up to 1024) elements: what is left of
            the variance where that between channels and positions is taken away.
        sample_share: an element's deviation over the samples, by its root mean square, the median over those
            elements that are not always zero: 0 where the input makes no difference, at most 1.
        zeros: share of values that are exactly zero.
        units, elements: how many there are.
        dead_units, dead_elements: how many of them are dead; None for what is no rectifier.
        saturated: share of values where the function is nearly flat; None for one that is flat nowhere. What
            counts as flat says `nonlinear.saturation`.
        decides: a gate, or an output of the network: meant to saturate.
        symmetric: all its units (more than one) are equal on every sample, and not all zero.
        nonfinite: how many values are NaN or infinite.
        histogram: of the finite values.
        probe: accuracy of a linear classifier on this layer's output, 0 to 1; None without labels.
    """

    name: str
    op: str
    kind: str
    depth: int
    shape: tuple[int, ...]
    mean: float
    variance: float
    sample_variance: float
    sample_share: float
    minimum: float
    maximum: float
    zeros: float
    units: int
    elements: int
    dead_units: int | None
    dead_elements: int | None
    saturated: float | None
    decides: bool
    symmetric: bool
    nonfinite: int
    histogram: Histogram
    probe: float | None = None

    @property
    def std(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    @property
    def dead_share(self) -> float | None:
        """Share of the units that are dead, 0 to 1."""
        return None if self.dead_units is None else self.dead_units / self.units


@dataclasses.dataclass(frozen=True)
class ActivationHealth:
    """What a network does on a data set, layer by layer.

    Attributes:
        samples: how many were run.
        layers: in the graph's order.
        left_out: names of the layers that were not measured: their leading axis is not the batch.
        flags: what is wrong, a sentence each, see `flags.find_flags`; empty for a healthy network.
        classes: names of the labels, or empty where none were given.
        input_probe: accuracy of the linear classifier on the input itself.
        chance: accuracy of always naming the most frequent class.
        split: samples that the classifiers were fitted and tested on.
        projection: the last layer's features in two dimensions.
    """

    samples: int
    layers: tuple[LayerActivations, ...]
    flags: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    input_probe: float | None = None
    chance: float | None = None
    split: tuple[int, int] | None = None
    projection: Projection | None = None

    @property
    def healthy(self) -> bool:
        """Nothing is flagged."""
        return not self.flags

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: what is not finite is None."""
        plain = _plain(dataclasses.asdict(self))
        for record, layer in zip(plain["layers"], self.layers, strict=True):
            record["std"] = _plain(layer.std)
        return {"healthy": self.healthy, **plain}

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(self.to_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
