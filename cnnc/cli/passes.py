"""`cnnc passes`: the rewrites, in the order in which they run, with their laws, and each one at work."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cnnc_passes.pipeline import Named


@click.command("passes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the passes in order, or show one pass NAME: its law, when it declines, and an example before and after."""
    from cnnc.cli import console
    from cnnc_passes.pipeline import named_passes
    from cnnc_runtime.errors import UsageError

    passes = named_passes()
    if name is not None and name not in passes:
        raise UsageError(f"no pass is named {name!r}; `cnnc passes` lists them")
    chosen = passes if name is None else {name: passes[name]}
    if as_json:
        click.echo(json.dumps([_described(key, step) for key, step in chosen.items()]))
    elif name is not None:
        console.out.print(_page(name, chosen[name]), highlight=False, markup=False)
    else:
        _print_table(chosen)


def _print_table(passes: dict[str, Named]) -> None:
    from rich.table import Table

    from cnnc.cli import console

    table = Table("pass", "law", box=None, pad_edge=False)
    for key, step in passes.items():
        table.add_row(key, _law(step).replace("[", "\\["))
    console.out.print(table)


def _page(name: str, step: Named) -> str:
    example = _example(step)
    graphs = [f"{when}:\n\n{textwrap.indent(text, '  ')}" for when, text in example.items()] if example else []
    return "\n\n".join([f"{name}\n  {_law(step)}", inspect.getdoc(type(step)) or "", *graphs])


def _described(name: str, step: Named) -> dict[str, object]:
    return {
        "name": name,
        "law": _law(step),
        "description": inspect.getdoc(type(step)) or "",
        "example": _example(step),
    }


def _law(step: Named) -> str:
    """The first line of the file that the pass is in."""
    return (inspect.getmodule(type(step)).__doc__ or "").strip().splitlines()[0]


def _example(step: Named) -> dict[str, str] | None:
    """The example as ONNX text, `before` and `after`; None of a pass over the whole graph."""
    from cnnc_passes.demonstration import demonstrate, graph_text
    from cnnc_passes.rewrite import Rewrite

    if not isinstance(step, Rewrite):
        return None
    before, after = demonstrate(step)
    return {"before": graph_text(before), "after": graph_text(after)}


__all__ = ["command"]
