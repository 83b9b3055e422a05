"""The analysis as a table: human units, as many columns as the terminal has room for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnnc.analysis.geometry import ReceptiveField
from cnnc.analysis.layer import Layer
from cnnc.analysis.normalization.table import normalization_table
from cnnc.analysis.result import Analysis
from cnnc.analysis.units import human, short_op

__all__ = ["footer", "kind_table", "layer_table", "print_analysis"]

_BAR = 8  # characters


class _Column(NamedTuple):
    title: str
    cell: Callable[[Layer], str]
    justify: Literal["left", "right"] = "right"
    total: Callable[[Analysis], str] = lambda _: ""


_COLUMNS = (
    _Column("layer", lambda layer: layer.name, "left", lambda _: "total"),
    _Column("op", lambda layer: short_op(layer.op), "left"),
    _Column("output", lambda layer: _size(layer.output_shape)),
    _Column("sees", lambda layer: _sees(layer.receptive_field)),
    _Column("output size", lambda layer: "; ".join(dict.fromkeys(layer.size_formula)), "left"),
    _Column("params", lambda layer: _unless_zero(layer.params), total=lambda all: human(all.totals.params)),
    _Column("MACs", lambda layer: _unless_zero(layer.macs), total=lambda all: human(all.totals.macs)),
    _Column("FLOPs", lambda layer: _unless_zero(layer.flops), total=lambda all: human(all.totals.flops)),
    _Column(
        "bytes",
        lambda layer: _unless_zero(layer.read_bytes + layer.written_bytes),
        total=lambda all: human(all.totals.read_bytes + all.totals.written_bytes),
    ),
    _Column("FLOPs/B", lambda layer: f"{layer.intensity:.1f}" if layer.flops and layer.intensity else ""),
    _Column("", lambda layer: _bar(layer.macs_share), "left"),
    _Column("share", lambda layer: f"{layer.macs_share:.1%}" if layer.macs else ""),
    _Column(
        "as FC",
        lambda layer: human(layer.fully_connected.params) if layer.fully_connected else "",
        total=lambda all: human(all.totals.fully_connected.params),
    ),
    _Column("ratio", lambda layer: _times(layer.ratio), total=lambda all: _times(all.totals.ratio)),
)
_FIRST_TO_GO = (
    "",
    "bytes",
    "FLOPs/B",
    "FLOPs",
    "ratio",
    "output size",
    "sees",
    "share",
)  # where the terminal is too narrow for all


def print_analysis(analysis: Analysis, console: Console) -> None:
    """The table, with the columns that there is room for, and its foot lines."""
    without = next((n for n in range(len(_FIRST_TO_GO)) if _fits(layer_table(analysis, n), console)), None)
    console.print(layer_table(analysis, without if without is not None else len(_FIRST_TO_GO)))
    console.print()
    console.print(kind_table(analysis))
    console.print()
    if (normalizations := normalization_table(analysis.layers)) is not None:
        console.print(normalizations)
        console.print()
    for line in footer(analysis):
        console.print(line, highlight=False, markup=False, style="dim")


def layer_table(analysis: Analysis, without: int = 0) -> Table:
    """One row a layer and the totals, `without` that many of the columns that can be spared."""
    table = Table(box=None, pad_edge=False, show_footer=True, header_style="bold", footer_style="bold")
    columns = [column for column in _COLUMNS if column.title not in _FIRST_TO_GO[:without]]
    if len(_images(analysis)) > 1:
        columns = [column._replace(cell=_sees_of) if column.title == "sees" else column for column in columns]
    for column in columns:
        footer = column.total(analysis)
        table.add_column(column.title, footer, justify=column.justify, no_wrap=True, overflow="ellipsis")
    for layer in analysis.layers:
        table.add_row(*(escape(column.cell(layer)) for column in columns))
    return table


def kind_table(analysis: Analysis) -> Table:
    """One row a kind of layer: how many there are, and what they cost together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kind", no_wrap=True)
    for title in ("layers", "params", "MACs", "FLOPs", "bytes"):
        table.add_column(title, justify="right", no_wrap=True)
    for kind, sums in analysis.by_kind().items():
        costs = (sums.params, sums.macs, sums.flops, sums.read_bytes + sums.written_bytes)
        table.add_row(kind, str(sums.layers), *map(_unless_zero, costs))
    return table


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(max_width=sys.maxsize)).maximum <= console.width


def footer(analysis: Analysis) -> list[str]:
    """What the table's numbers mean, and what is not a matter of layers."""
    return [
        *_sizes(analysis),
        "as FC: parameters of the fully connected layer that connects every input value to every output value; "
        f"without convolutions the net would have {human(analysis.totals.fully_connected.params)}",
        "sees: the receptive field, the input that one output value depends on"
        + "; of several inputs, the first of them" * (len(_images(analysis)) > 1)
        + "; bytes: read and written, unfused",
        analysis.convention,
    ]


def _sizes(analysis: Analysis) -> Iterator[str]:
    totals, constants, memory = analysis.totals, analysis.constants, analysis.memory
    yield f"{totals.params:,} parameters, {totals.macs:,} MACs; {human(totals.weight_bytes, 'B')} of weights"
    if analysis.source:
        yield f"source had {analysis.source.get('params', 0):,} parameters"
    if constants.statistics or constants.other:
        yield f"not parameters: {constants.statistics:,} running statistics, {constants.other:,} other constants"
    if analysis.expressions:
        yield "; ".join(f"{_TITLES[name]} = {text}" for name, text in analysis.expressions.items())
    yield f"activations alive at most: {human(memory.peak_bytes, 'B')}, at {memory.peak_layer}"
    if analysis.valid_sizes:
        yield f"valid input sizes: {_by_axis(analysis.valid_sizes)}"
    if any(analysis.unread_input):
        yield f"never read of the input: {_by_axis(analysis.unread_input)}"
    if analysis.uncounted:
        names = ", ".join(f"{op} ({number})" for op, number in analysis.uncounted.items())
        yield f"FLOPs of these operators are not known here, and count 0: {names}"
    if analysis.barriers is not None:
        from cnnc.engine_graph.barriers import describe_barriers

        yield from describe_barriers(analysis.barriers)


def _by_axis(texts: Sequence[str]) -> str:
    """One text where all axes have the same, else each with its axis."""
    if len(set(texts)) == 1:
        return texts[0]
    return ", ".join(f"{text} (axis {axis})" for axis, text in enumerate(texts, 2) if text)


_TITLES = {"macs": "MACs", "flops": "FLOPs"}


def _unless_zero(number: int) -> str:
    return human(number) if number else ""


def _times(ratio: float | None) -> str:
    return f"×{human(round(ratio))}" if ratio is not None else ""


def _bar(share: float) -> str:
    """A bar of up to eight characters, in eighths of one."""
    eighths = round(share * _BAR * 8)
    whole, part = divmod(eighths, 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[part].strip()


def _sees(field: ReceptiveField | None) -> str:
    """One number for a square; the published figure, of local paths, where there are global ones too."""
    if field is None:
        return ""
    sizes = ["all" if size is None else str(size) for size in field.local]
    return sizes[0] if len(set(sizes)) == 1 else "x".join(sizes)


def _sees_of(layer: Layer) -> str:
    """With the input's name, where there are several."""
    field = layer.receptive_field
    return f"{_sees(field)} of {field.image}" if field is not None else ""


def _images(analysis: Analysis) -> set[str]:
    """The inputs that receptive fields lie on."""
    return {layer.receptive_field.image for layer in analysis.layers if layer.receptive_field is not None}


def _size(shape: tuple[int, ...] | None) -> str:
    """Without the batch: 64x56x56."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape[1:])) if len(shape) > 1 else str(shape[0]) if shape else "scalar"
