"""A benchmark on a terminal: latency and throughput, the cold start, and what stands under them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnc.bench.result import Bench, Row

__all__ = ["print_bench"]


def print_bench(bench: Bench, console: Console) -> None:
    """Print the tables and the notes."""
    has_energy = any(row.joules is not None for row in bench.rows)
    columns = ["contender", "batch", "threads", "p50", "p90", "p99", "p50 of the rounds", "items/s", "runs"]
    latency = Table(*columns, box=None, pad_edge=False)
    if has_energy:
        latency.add_column("J/item")
    several = len({row.contender for row in bench.rows}) > 1
    if several:
        latency.add_column("speed")
    for row in bench.rows:
        latency.add_row(
            *_cells(row),
            *([_joules(row.joules)] if has_energy else []),
            *([f"{bench.against_first(row):.2f}x"] if several else []),
        )
    cold = Table("cold start", "import", "read", "session", "first run", "total", "then", box=None, pad_edge=False)
    for row in _first_rows(bench):
        read = row.cold.read
        steps = (row.cold.imports, read, row.cold.session, row.cold.first, row.cold.total, row.median)
        cold.add_row(Text(row.contender), *("" if step is None else _time(step) for step in steps))
    for table in (latency, cold):
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)
        console.print()
    for note in _notes(bench, several=several):
        console.print(note, highlight=False, markup=False)


def _cells(row: Row) -> list[str | Text]:
    low, high = row.spread
    return [
        Text(row.contender),
        str(row.batch),
        "default" if row.threads is None else str(row.threads),
        *map(_time, (row.median, row.p90, row.p99)),
        f"{_time(low)} to {_time(high)}",
        f"{row.throughput:,.0f}" if row.throughput >= 100 else f"{row.throughput:.3g}",
        f"{row.runs:,}",
    ]


def _first_rows(bench: Bench) -> list[Row]:
    """A row a contender: at the first batch and number of threads."""
    return list({row.contender: row for row in reversed(bench.rows)}.values())[::-1]


def _notes(bench: Bench, *, several: bool) -> list[str]:
    machine = bench.machine
    notes = [
        f"{bench.rounds} rounds of {bench.seconds:g} s, each contender in a process of its own, in turn; percentiles "
        "are medians of the rounds",
        f"on {bench.device}: {machine['cpu']}, {machine['usable_cores']} usable cores; "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        *(f"energy: {meter}" if _gave_figures(bench, meter) else meter for meter in bench.meters()),
    ]
    if several:
        notes.insert(1, f"speed: the p50 of {bench.rows[0].contender} over the row's, at the same batch and threads")
        shapes = {tuple(row.inputs.values()): row for row in reversed(_first_rows(bench))}
        if len(shapes) > 1:
            takes = "; ".join(f"{row.contender}: {', '.join(shape)}" for shape, row in reversed(shapes.items()))
            notes.append(f"not the same inputs: {takes}")
    few = min(row.runs for row in bench.rows) / bench.rounds
    if few < 100:
        notes.append(f"p99 of {few:.0f} runs a round is about the slowest of them: give more --seconds")
    return notes


def _gave_figures(bench: Bench, meter: str) -> bool:
    """Whether a meter gave figures."""
    return any(row.joules is not None for row in bench.rows if row.meter == meter)


def _joules(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size < 1000 else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"
