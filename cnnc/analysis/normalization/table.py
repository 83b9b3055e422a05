"""The normalizations of a network as a table: one row for all that average over the same."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from cnnc.analysis.layer import Layer
from cnnc.analysis.normalization.result import Normalization
from cnnc.analysis.units import short_op

__all__ = ["normalization_table"]

_NAMED = 2  # layers of a row that are named; of more only the first is, with their number


def normalization_table(layers: Iterable[Layer]) -> Table | None:
    """Kind, layers, values that share one mean, and what it is taken over; None where no layer normalizes."""
    rows: dict[tuple[str, str, int | None], list[str]] = {}
    for layer in layers:
        if (said := layer.normalization) is not None:
            rows.setdefault((short_op(said.kind), _text(said), said.values_per_mean), []).append(layer.name)
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("normalization", no_wrap=True)
    table.add_column("layers", overflow="fold")
    table.add_column("values a mean", justify="right")
    table.add_column("averages", overflow="fold")
    for (kind, text, values), names in rows.items():
        shown = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} and {len(names) - 1} more"
        table.add_row(kind, escape(shown), "" if values is None else f"{values:,}", text)
    return table


def _text(said: Normalization) -> str:
    return said.text if said.operators == 1 else f"{said.text} ({said.operators} rows)"
