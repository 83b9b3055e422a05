"""A benchmark as a picture: latency and throughput over the batch, and the cold start in its parts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from cnnc.analysis.report.assets import require_report
from cnnc.analysis.report.colors import CATEGORIES
from cnnc.analysis.report.text import plot_text
from cnnc.bench.result import Bench, Row
from cnnc_runtime.atomic import replacing
from cnnc_runtime.errors import UsageError

__all__ = ["SUFFIXES", "check_plot", "draw", "save_plot"]

SUFFIXES = (".html", ".png", ".svg")
_DASHES = ("solid", "dash", "dot", "dashdot")
_STEPS = {"import": "imports", "read": "read", "session": "session", "first run": "first"}


def check_plot(path: Path) -> None:
    """Whether `save_plot` will be able to, before anything is measured.

    Raises:
        UsageError: another suffix, or what draws it is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a plot is {', '.join(SUFFIXES)}")
    require_report()
    if path.suffix.lower() != ".html" and not _has_kaleido():
        raise UsageError(f"{path}: plotly needs kaleido for it (pip install kaleido): or name an .html")


def save_plot(bench: Bench, path: Path, *, force: bool = False) -> None:
    """Write the picture; an .html carries plotly.js and loads nothing. `force` overwrites.

    Raises:
        UsageError: as `check_plot`.
        OutputError: it cannot be written.
    """
    check_plot(path)
    figure = draw(bench)
    if path.suffix.lower() == ".html":
        content = figure.to_html(include_plotlyjs=True, full_html=True).encode()
    else:
        try:
            content = figure.to_image(format=path.suffix.lower()[1:], width=1500, height=520, scale=2)
        except Exception as error:  # kaleido drives a Chrome, which may be missing, or not start
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UsageError(f"{path}: kaleido cannot draw it: {first}: name an .html") from error
    with replacing(path, force=force) as file:
        file.write(content)


def _has_kaleido() -> bool:
    return importlib.util.find_spec("kaleido") is not None


def draw(bench: Bench) -> Any:
    """The plotly figure."""
    from plotly.subplots import make_subplots

    titles = ("latency: p50, and up to p99", "throughput", "cold start")
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, column_widths=[0.36, 0.36, 0.28])
    contenders = list(dict.fromkeys(row.contender for row in bench.rows))
    threads = list(dict.fromkeys(row.threads for row in bench.rows))
    for index, contender in enumerate(contenders):
        for dash, count in enumerate(threads):
            rows = [row for row in bench.rows if (row.contender, row.threads) == (contender, count)]
            style = {
                "name": _legend(contender, count, several=len(threads) > 1),
                "line": {"color": CATEGORIES[index % len(CATEGORIES)], "dash": _DASHES[dash % len(_DASHES)]},
                "legendgroup": f"{index} {dash}",
            }
            _add_lines(figure, rows, style)
    _add_cold_start(figure, bench, contenders)
    batches = sorted({row.batch for row in bench.rows})
    for column in (1, 2):
        figure.update_xaxes(
            title_text="batch", type="log", tickvals=batches, ticktext=list(map(str, batches)), row=1, col=column
        )
    figure.update_yaxes(title_text="ms a run", type="log", row=1, col=1)  # contenders may be 100 times apart
    figure.update_yaxes(title_text="items/s", rangemode="tozero", row=1, col=2)
    figure.update_yaxes(title_text="ms", row=1, col=3)
    machine = plot_text(f"{bench.machine['cpu']}, {bench.machine['usable_cores']} usable cores, on {bench.device}")
    figure.update_layout(title_text=machine, barmode="stack", template="plotly_white")
    return figure


def _add_lines(figure: Any, rows: list[Row], style: dict[str, Any]) -> None:
    x = [row.batch for row in rows]
    latency = [1e3 * row.median for row in rows]
    above = {"type": "data", "symmetric": False, "array": [1e3 * (row.p99 - row.median) for row in rows]}
    above["arrayminus"] = [0.0] * len(rows)
    figure.add_scatter(x=x, y=latency, error_y=above, mode="lines+markers", row=1, col=1, **style)
    figure.add_scatter(
        x=x, y=[row.throughput for row in rows], mode="lines+markers", showlegend=False, row=1, col=2, **style
    )


def _add_cold_start(figure: Any, bench: Bench, contenders: list[str]) -> None:
    first = {row.contender: row for row in reversed(bench.rows)}
    for index, (step, field) in enumerate(_STEPS.items()):
        figure.add_bar(
            x=[plot_text(name) for name in contenders],
            y=[1e3 * (getattr(first[name].cold, field) or 0.0) for name in contenders],
            name=step,
            marker_color=CATEGORIES[(index + 4) % len(CATEGORIES)],
            legendgroup="cold start",
            legendgrouptitle_text="cold start",
            row=1,
            col=3,
        )


def _legend(contender: str, threads: int | None, *, several: bool) -> str:
    name = plot_text(contender)
    return f"{name}, {threads or 'default'} thread{'s' * (threads != 1)}" if several else name
