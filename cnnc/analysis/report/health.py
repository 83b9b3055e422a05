"""The activations as rows of a table."""

from __future__ import annotations

import dataclasses
import math

from cnnc.analysis.activations.result import ActivationHealth, LayerActivations
from cnnc.analysis.report.text import shorten

__all__ = ["HealthTable", "health_table"]

_HEADS = (
    *("Layer", "Operator", "Mean", "Std", "Min", "Max", "Zeros", "Dead units", "Saturated", "NaN or infinite"),
    "Linear probe",
)


@dataclasses.dataclass(frozen=True)
class HealthTable:
    """Headings, and the cells of each layer."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def health_table(health: ActivationHealth) -> HealthTable:
    """Columns that no layer has anything for are left out."""
    rows = [_row(layer) for layer in health.layers]
    kept = [index for index in range(len(_HEADS)) if any(row[index] for row in rows)]
    return HealthTable(tuple(_HEADS[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def _row(layer: LayerActivations) -> tuple[str, ...]:
    numbers = map(_number, (layer.mean, layer.std, layer.minimum, layer.maximum))
    dead = "" if layer.dead_units is None else f"{layer.dead_units:,} of {layer.units:,}"
    return (
        shorten(layer.name),
        layer.op.rpartition("::")[2],
        *numbers,
        _share(layer.zeros or None),
        dead,
        _share(layer.saturated),
        f"{layer.nonfinite:,}" if layer.nonfinite else "",
        _share(layer.probe),
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "none"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
