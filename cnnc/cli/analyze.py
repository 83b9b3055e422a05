"""`cnnc analyze`: what every layer costs, convolution against fully connected."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("analyze")
@click.argument("source")
@click.option("--input-shape", "input_shapes", multiple=True, metavar="[x:]1,3,224,224", help="Shape of an input.")
@click.option("--example", metavar="F.py:fn", help="Function that returns the example inputs, instead of shapes.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="Keyword argument of the factory.")
@click.option("--json", "as_json", is_flag=True, help="Print exact numbers as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print exact numbers as CSV, a line a layer.")
def command(
    source: str,
    input_shapes: tuple[str, ...],
    example: str | None,
    arguments: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show parameters, MACs and output sizes of every layer of SOURCE, and the fully connected layer it replaces.

    SOURCE is an .onnx file, a name of `cnnc zoo`, file.py:Net or pkg.mod:Net. It is shown as it is, before any
    rewrite; compile it first to see what the artifact costs.
    """
    import cnnc
    from cnnc.cli import console

    if as_json and as_csv:
        raise click.UsageError("--json and --csv: give one of them")
    if example is not None and input_shapes:
        raise click.UsageError("--example and --input-shape both say what the inputs are: give one of them")
    if example is not None and source.endswith(".onnx"):
        raise click.UsageError(f"{source} is a graph already: give the sizes it leaves open with --input-shape")
    with console.status(f"analyzing {source}"):
        inputs = None
        if example is not None:
            from cnnc.examples import from_factory

            inputs = from_factory(example)
        analysis = cnnc.analyze(source, inputs, input_shapes=list(input_shapes), arguments=console.pairs(arguments))
    if as_json:
        click.echo(analysis.to_json())
    elif as_csv:
        click.echo(analysis.to_csv(), nl=False)
    else:
        from cnnc.analysis.table import print_analysis

        print_analysis(analysis, console.out)
