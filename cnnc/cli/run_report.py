"""What `cnnc run` prints on stdout: tables, or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from cnnc.cli import console

__all__ = ["print_json", "print_tables"]


def print_json(report: dict[str, Any]) -> None:
    """Print the report as one line of JSON."""
    click.echo(json.dumps(report))


def print_tables(report: dict[str, Any]) -> None:
    """Print the results: a row a class for classifiers, a row an output for the others."""
    outputs = [(r["name"], name, out) for r in report["results"] for name, out in r["outputs"].items()]
    many = len({name for _, name, _ in outputs}) > 1
    classes = [one for one in outputs if "top" in one[2]]
    shares = [one for one in outputs if "shares" in one[2]]
    extents = [one for one in outputs if "top" not in one[2] and "shares" not in one[2]]
    for header, rows in (
        (("class", "score"), _class_rows(classes, many)),
        (("class", "share of the picture"), _share_rows(shares, many)),
        (("shape", "min", "max", "mean"), _extent_rows(extents, many)),
    ):
        _print("item", header, list(rows))
    kinds = sorted({out["scores"] for _, _, out in classes})
    scores = f"; scores: {', '.join(kinds)}" if kinds else ""
    click.echo(f"ran on {report['provider']}{scores}")


def _rows(
    outputs: list[tuple[str, str, dict[str, Any]]], many: bool, entries: str, said: Callable[[dict[str, Any]], str]
) -> Iterator[tuple[str, ...]]:
    """A row a class; the item is named in its first one."""
    for item, name, out in outputs:
        title = f"{item} {name}" if many else item
        for entry in out[entries]:
            label = entry["label"] if entry["label"] is not None else f"class {entry['index']}"
            yield title, label, said(entry)
            title = ""


def _class_rows(outputs: list[tuple[str, str, dict[str, Any]]], many: bool) -> Iterator[tuple[str, ...]]:
    return _rows(outputs, many, "top", lambda entry: f"{entry['score']:.4f}")


def _share_rows(outputs: list[tuple[str, str, dict[str, Any]]], many: bool) -> Iterator[tuple[str, ...]]:
    return _rows(outputs, many, "shares", lambda entry: f"{100 * entry['share']:.1f} %")


def _extent_rows(outputs: list[tuple[str, str, dict[str, Any]]], many: bool) -> Iterator[tuple[str, ...]]:
    for item, name, out in outputs:
        numbers = ("-" if out[key] is None else f"{out[key]:.5g}" for key in ("min", "max", "mean"))
        yield f"{item} {name}" if many else item, "x".join(map(str, out["shape"])) or "scalar", *numbers


def _print(first: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for title in header:
        table.add_column(title, justify="left" if title == "class" else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.out.print(table)
