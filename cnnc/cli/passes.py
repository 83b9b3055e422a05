"""`cnnc passes`: the rewrites, in the order in which they run, with their laws."""

from __future__ import annotations

import inspect
import json

import click


@click.command("passes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the passes in order, or show one pass NAME with its law and when it declines."""
    from rich.table import Table

    from cnnc.cli import console
    from cnnc_passes.pipeline import named_passes
    from cnnc_runtime.errors import UsageError

    passes = named_passes()
    if name is not None and name not in passes:
        raise UsageError(f"no pass is named {name!r}; `cnnc passes` lists them")
    chosen = passes if name is None else {name: passes[name]}
    laws = {key: _first_line(inspect.getmodule(type(step)).__doc__) for key, step in chosen.items()}
    if as_json:
        click.echo(json.dumps([{"name": key, "law": law} for key, law in laws.items()]))
    elif name is not None:
        console.out.print(f"{name}\n  {laws[name]}\n", highlight=False, markup=False)
        console.out.print(inspect.getdoc(type(chosen[name])), highlight=False, markup=False)
    else:
        table = Table("pass", "law", box=None, pad_edge=False)
        for key, law in laws.items():
            table.add_row(key, law.replace("[", "\\["))
        console.out.print(table)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0]


__all__ = ["command"]
