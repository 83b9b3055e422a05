"""The analysis as a table: human units, as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from cnnc.analysis.result import Analysis, Layer

__all__ = ["footer", "human", "layer_table", "print_analysis"]

_BAR = 8  # characters
_UNLIMITED = 1000  # columns; a pipe has no edge at which to cut


class _Column(NamedTuple):
    title: str
    cell: Callable[[Layer], str]
    from_width: int = 0
    """Terminal columns below which this one is left out."""
    justify: Literal["left", "right"] = "right"


_COLUMNS = (
    _Column("layer", lambda layer: layer.name, justify="left"),
    _Column("op", lambda layer: _short(layer.op), justify="left"),
    _Column("output", lambda layer: _size(layer.output_shape)),
    _Column("output size", lambda layer: "; ".join(dict.fromkeys(layer.size_formula)), 160, "left"),
    _Column("params", lambda layer: human(layer.params) if layer.params else ""),
    _Column("MACs", lambda layer: human(layer.macs) if layer.macs else ""),
    _Column("FLOPs", lambda layer: human(layer.flops) if layer.flops else "", 120),
    _Column("", lambda layer: _bar(layer.macs_share), 120, "left"),
    _Column("share", lambda layer: f"{layer.macs_share:.1%}" if layer.macs else ""),
    _Column("as FC", lambda layer: human(layer.fully_connected.params) if layer.fully_connected else ""),
    _Column("ratio", lambda layer: f"×{human(round(layer.ratio))}" if layer.ratio else "", 100),
)


def print_analysis(analysis: Analysis, console: Console) -> None:
    """The table and its foot lines; in full where the console is a pipe."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_UNLIMITED)
    console.print(layer_table(analysis, console.width))
    for line in footer(analysis):
        console.print(line, highlight=False, markup=False, style="dim")


def layer_table(analysis: Analysis, width: int) -> Table:
    """One row a layer and the totals, for a terminal of `width` columns."""
    table = Table(box=None, pad_edge=False, show_footer=True, header_style="bold", footer_style="bold")
    totals, dense = analysis.totals, analysis.totals.fully_connected
    footers = {
        "layer": "total",
        "params": human(totals.params),
        "MACs": human(totals.macs),
        "FLOPs": human(totals.flops),
        "as FC": human(dense.params),
        "ratio": f"×{human(round(dense.params / totals.params))}" if totals.params else "",
    }
    columns = [column for column in _COLUMNS if column.from_width <= width]
    for column in columns:
        table.add_column(
            column.title, footers.get(column.title, ""), justify=column.justify, no_wrap=True, overflow="ellipsis"
        )
    for layer in analysis.layers:
        table.add_row(*(column.cell(layer).replace("[", "\\[") for column in columns))
    return table


def footer(analysis: Analysis) -> list[str]:
    """What the table's numbers mean, and what is not a matter of layers."""
    totals = analysis.totals
    lines = [
        f"{totals.params:,} parameters, {totals.macs:,} MACs; {totals.weight_bytes / 1e6:.1f} MB of weights, "
        f"{totals.peak_activation_bytes / 1e6:.1f} MB of activations alive at most",
        f"as FC: parameters of the fully connected layer that connects every input value to every output value; "
        f"without convolutions the net would have {human(totals.fully_connected.params)}",
        analysis.convention,
    ]
    if analysis.source:
        lines.insert(1, f"source had {analysis.source.get('params', 0):,} parameters")
    return lines


def human(number: int) -> str:
    """Three digits and the unit: 456, 61.7 k, 15.5 G; exact below 1000."""
    value, units = float(number), ["", " k", " M", " G", " T", " P"]
    while abs(value) >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    if number < 1000:
        return str(number)
    return f"{value:.3g}{units[0]}" if value < 999.5 else f"{value:,.0f}{units[0]}"


def _bar(share: float) -> str:
    """A bar of up to eight characters, in eighths of one."""
    eighths = round(share * _BAR * 8)
    whole, part = divmod(eighths, 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[part].strip()


def _size(shape: tuple[int, ...] | None) -> str:
    """Without the batch: 64x56x56."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape[1:])) if len(shape) > 1 else str(shape[0]) if shape else "scalar"


def _short(op: str) -> str:
    name = op.rpartition("::")[2]
    return name.replace("Normalization", "Norm").replace("AveragePool", "AvgPool")
