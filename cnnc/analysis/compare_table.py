"""Two analyses as a table: layers that differ, those of both side by side, and the totals."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnnc.analysis.compare import Comparison, Pair
from cnnc.analysis.layer import Layer
from cnnc.analysis.units import human, short_op

__all__ = ["comparison_table", "print_comparison"]

_COSTS = ("params", "macs", "flops")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """The table of the layers that differ, and a line that says how many are the same."""
    same = sum(pair.is_same for pair in comparison.pairs)
    console.print(comparison_table(comparison))
    console.print(f"{same} of {len(comparison.pairs)} layers are the same in both", highlight=False, style="dim")


def comparison_table(comparison: Comparison) -> Table:
    """A row for each layer that is not the same in both, and one for each total."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", no_wrap=True, overflow="ellipsis")
    table.add_column(_title(comparison.before.name), no_wrap=True)
    table.add_column(_title(comparison.after.name), no_wrap=True)
    for name in ("params", "MACs", "FLOPs"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in comparison.pairs:
        if not pair.is_same:
            table.add_row(escape(pair.name), _op(pair.before), _op(pair.after), *(_change(pair, c) for c in _COSTS))
    table.add_section()
    for name, (before, after) in comparison.totals().items():
        unit = "B" if name.endswith("bytes") else ""
        row = (human(before, unit), human(after, unit), _factor(before, after))
        table.add_row(f"total {name.replace('_', ' ')}", *row, style="bold")
    return table


def _title(name: str) -> str:
    return escape(name if len(name) <= 24 else f"...{name[-21:]}")


def _op(layer: Layer | None) -> str:
    return escape(short_op(layer.op)) if layer else "-"


def _change(pair: Pair, cost: str) -> str:
    before, after = (getattr(layer, cost) if layer else 0 for layer in (pair.before, pair.after))
    if before == after:
        return ""
    return f"{'+' if after > before else '-'}{human(abs(after - before))}"


def _factor(before: int, after: int) -> str:
    return f"x{after / before:.3g}" if before else ""
