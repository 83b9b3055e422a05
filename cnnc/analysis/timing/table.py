"""The timing as a table: a row a layer, those of the engine, and what the numbers mean."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cnnc.analysis.timing.result import EngineTime, LayerTime, Timing
from cnnc.analysis.units import human

__all__ = ["print_timing", "timing_footer", "timing_table"]

_BAR = 8  # characters
_NAME = 44
_COLUMNS = ("layer", "op", "time", "", "share", "FLOP/s", "B/s", "bound", "of roof")


def print_timing(timing: Timing, console: Console) -> None:
    """The table and its foot lines."""
    console.print(timing_table(timing))


def timing_table(timing: Timing) -> RenderableType:
    """One row a layer, in the order of the analysis, then the engine's own, and the foot lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _COLUMNS:
        left = title in ("layer", "op", "", "bound")
        widest = _NAME if title in ("layer", "time") else None
        table.add_column(title, justify="left" if left else "right", no_wrap=True, max_width=widest)
    for layer in timing.layers:
        if layer.fused_into is not None:
            table.add_row(escape(layer.name), _short(layer.op), escape(f"fused into {layer.fused_into}"), style="dim")
        else:
            table.add_row(*_cells(layer))
    for row in timing.engine:
        table.add_row(*_engine_cells(row), style="dim")
    if timing.unattributed:
        share = timing.unattributed_seconds / timing.sum_seconds if timing.sum_seconds else 0.0
        table.add_row("not attributed", "", _time(timing.unattributed_seconds), _bar(share), f"{share:.1%}")
    return Group(table, *(Text(line, style="dim") for line in timing_footer(timing)))


def timing_footer(timing: Timing) -> list[str]:
    """How the times add up, the ceilings, and the layers that are far from both."""
    low, high = timing.latency_range
    ceilings = timing.ceilings
    threads = "the engine's choice of threads" if timing.threads is None else f"threads: {timing.threads}"
    lines = [
        f"latency {_time(timing.latency_seconds)}, median of {timing.runs} runs ({_time(low)} to {_time(high)}); "
        f"{threads}, CPU",
        f"kernels add up to {_time(timing.sum_seconds)}, {timing.sum_error:+.1%} of that "
        f"({_time(timing.profiled_seconds)} a run with the profiler)",
        f"ceilings {human(round(ceilings.flops_per_second), 'FLOP/s')} and "
        f"{human(round(ceilings.bytes_per_second), 'B/s')}, both reached at {ceilings.ridge:.1f} FLOPs per byte",
        f"({ceilings.how}); above 100% of the roof: from the cache",
    ]
    lines += [f"not attributed: {kernel}" for kernel in timing.unattributed]
    lines += [f"{layer.name}: {layer.of_roof:.0%} of the roof: {layer.hint}" for layer in timing.layers if layer.hint]
    return lines


def _cells(layer: LayerTime) -> list[str]:
    return [
        escape(layer.name),
        _short(layer.op),
        _time(layer.seconds) if layer.kernels else "not run",
        _bar(layer.share),
        f"{layer.share:.1%}",
        human(round(layer.flops_per_second)) if layer.flops_per_second else "",
        human(round(layer.bytes_per_second)) if layer.bytes_per_second else "",
        layer.bound or "",
        f"{layer.of_roof:.0%}" if layer.of_roof is not None else "",
    ]


def _engine_cells(row: EngineTime) -> list[str]:
    more = f" and {len(row.feeds) - 1} more" if len(row.feeds) > 1 else ""
    title = f"engine: {row.purpose} for {row.feeds[0]}{more}"
    return [escape(title), row.kernel.partition(" ")[0], _time(row.seconds), _bar(row.share), f"{row.share:.1%}"]


def _time(seconds: float) -> str:
    """Three digits: 17.4 ms, 320 µs."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:.0f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _bar(share: float) -> str:
    """A bar of up to eight characters, in eighths of one."""
    whole, part = divmod(round(share * _BAR * 8), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[part].strip()


def _short(op: str) -> str:
    return op.rpartition("::")[2].replace("Normalization", "Norm").replace("AveragePool", "AvgPool")
