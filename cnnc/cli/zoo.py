"""`cnnc zoo`: the reference CNNs that can be named as a source."""

from __future__ import annotations

import dataclasses
import json

import click

from cnnc.zoo import ZOO

__all__ = ["command"]


@click.command("zoo")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """List the reference CNNs: input, parameters, paper. Their weights are random, from a seed."""
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(entry) for entry in ZOO.values()]))
        return
    from rich.table import Table

    from cnnc.cli import console

    table = Table("name", "input", "parameters", "paper", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for entry in ZOO.values():
        shapes = (entry.input_shape, *(shape for _, shape in entry.other_inputs))
        sizes = ", ".join("x".join(map(str, shape)) for shape in shapes)
        table.add_row(entry.name, sizes, f"{entry.params:,}", entry.paper)
    console.out.print(table)
