"""The layers' health as a table for the terminal, and what is wrong, and what the probes say, in lines below it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Literal, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnnc.analysis.activations.flags import ENOUGH_SAMPLES
from cnnc.analysis.activations.result import ActivationHealth, LayerActivations

__all__ = ["activation_lines", "activation_table", "print_activations"]

_BARS = " ▁▂▃▄▅▆▇█"


class _Column(NamedTuple):
    title: str
    cell: Callable[[LayerActivations], str]
    justify: Literal["left", "right"] = "right"


_COLUMNS = (
    _Column("layer", lambda layer: layer.name, "left"),
    _Column("op", lambda layer: layer.op.rpartition("::")[2].replace("Normalization", "Norm"), "left"),
    _Column("output", lambda layer: "x".join(map(str, layer.shape)) or "scalar"),
    _Column("mean", lambda layer: _number(layer.mean)),
    _Column("std", lambda layer: _number(layer.std)),
    _Column("min", lambda layer: _number(layer.minimum)),
    _Column("max", lambda layer: _number(layer.maximum)),
    _Column("zeros", lambda layer: _share(layer.zeros or None)),
    _Column("dead", lambda layer: _dead(layer)),
    _Column("saturated", lambda layer: _share(layer.saturated)),
    _Column("histogram", lambda layer: _sparkline(layer.histogram.counts), "left"),
    _Column("probe", lambda layer: _share(layer.probe)),
)
_FIRST_TO_GO = ("min", "max", "output", "zeros", "histogram")  # where the terminal is too narrow for all
_IF_ANY = ("dead", "saturated", "probe", "zeros")  # a column that no layer has anything for is left out


def print_activations(health: ActivationHealth, console: Console) -> None:
    """The table, with the columns that there is room for, and the lines."""
    without = next((n for n in range(len(_FIRST_TO_GO)) if _fits(activation_table(health, n), console)), None)
    console.print(activation_table(health, without if without is not None else len(_FIRST_TO_GO)))
    for line in activation_lines(health):
        console.print(line, highlight=False, markup=False)


def activation_table(health: ActivationHealth, without: int = 0) -> Table:
    """One row a layer, `without` that many of the columns that can be spared."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [
        column
        for column in _COLUMNS
        if column.title not in _FIRST_TO_GO[:without]
        and (column.title not in _IF_ANY or any(column.cell(layer) for layer in health.layers))
    ]
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True, overflow="ellipsis")
    for layer in health.layers:
        table.add_row(*(escape(column.cell(layer)) for column in columns))
    return table


def activation_lines(health: ActivationHealth) -> list[str]:
    """What is wrong, a line each, or that nothing is; then the linear probes, where there were labels."""
    samples = f"{health.samples:,} sample{'s' * (health.samples != 1)}"
    lines = list(health.flags) or [f"healthy: nothing to flag on {samples}"]
    if health.samples < ENOUGH_SAMPLES:
        lines.append(f"{samples} cannot show a unit dead, which takes {ENOUGH_SAMPLES}")
    if health.left_out:
        lines.append(f"not measured, since their leading axis is not the batch: {', '.join(health.left_out)}")
    probed = [layer for layer in health.layers if layer.probe is not None]
    if health.split is not None and probed:
        best = max(probed, key=lambda layer: layer.probe or 0)
        fitted, tested = health.split
        lines.append(
            f"linear probe: {_share(health.input_probe) or '?'} on the input, {_share(probed[0].probe)} at "
            f"{probed[0].name}, {_share(probed[-1].probe)} at {probed[-1].name}; best {_share(best.probe)} at "
            f"{best.name} (chance {_share(health.chance)}; fitted on {fitted:,} samples, tested on {tested:,} others)"
        )
    elif health.classes:
        lines.append("no linear probe: it takes two classes with two samples or more")
    return lines


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(max_width=sys.maxsize)).maximum <= console.width


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "?"


def _share(share: float | None) -> str:
    return "" if share is None else "?" if math.isnan(share) else f"{share:.1%}"


def _dead(layer: LayerActivations) -> str:
    return "" if layer.dead_units is None else f"{layer.dead_units}/{layer.units}"


def _sparkline(counts: tuple[int, ...]) -> str:
    """A bar a bin, its height the square root of the count, so that tails show beside a peak."""
    highest = max(counts, default=0)
    return "".join(_BARS[math.ceil(8 * math.sqrt(n / highest))] for n in counts) if highest else ""
