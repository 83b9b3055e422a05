"""`cnnc analyze`: what every layer costs, convolution against fully connected."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.preprocess_options import preprocessing_from, preprocessing_options

if TYPE_CHECKING:
    from cnnc.analysis import Analysis
    from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["command"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class _Bytes(click.ParamType[int]):
    """`8GB`, `512MiB`, `1000000`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]i?)?b?", str(value).lower())
        if found is None:
            self.fail(f"{value!r} is no size: give bytes, or 512MiB, or 8GB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2] or ""])


@click.command("analyze")
@click.argument("source")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint: .pt, .pth or .safetensors.")
@click.option("--input-shape", "input_shapes", multiple=True, metavar="[x:]1,3,224,224", help="Shape of an input.")
@click.option("--example", metavar="F.py:fn", help="Function that returns the example inputs, instead of shapes.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="Keyword argument of the factory.")
@click.option("--compare", "other", metavar="OTHER", help="Another source, shown beside this one.")
@click.option(
    "--convention",
    "conventions",
    multiple=True,
    metavar="TOOL",
    help="Also the total as fvcore, ptflops, torchinfo, thop or flopcounter counts it, or all.",
)
@click.option("--prove", is_flag=True, help="Write small convolutions out as dense matrices, and multiply.")
@click.option("--fit", type=_Bytes(), metavar="SIZE", help="The largest batch that this much memory holds: 8GB.")
@click.option("--measure", is_flag=True, help="Run it, and show each layer's time against the machine's roofline.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the engine, for --measure and --activations.")
@click.option(
    "--activations", type=click.Path(path_type=Path), metavar="DATA", help="Run it on data: each layer's values."
)
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Of DATA, at most.")
@preprocessing_options
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with every table and plot.")
@click.option("--force", is_flag=True, help="Overwrite the page.")
@click.option("--json", "as_json", is_flag=True, help="Print exact numbers as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print exact numbers as CSV, a line a layer.")
def command(
    source: str,
    input_shapes: tuple[str, ...],
    example: str | None,
    other: str | None,
    html: Path | None,
    force: bool,
    as_json: bool,
    as_csv: bool,
    **options: Any,
) -> None:
    """Show parameters, MACs and output sizes of every layer of SOURCE, and the fully connected layer it replaces.

    SOURCE is an .onnx file, a name of `cnnc zoo`, file.py:Net or pkg.mod:Net. It is shown as it is, before any
    rewrite; compile it first to see what the artifact costs.
    """
    from cnnc.cli import console
    from cnnc.cli.analyze_sections import optional_sections
    from cnnc_runtime.atomic import check_writable, replacing

    if as_json and as_csv:
        raise click.UsageError("--json and --csv: give one of them")
    if example is not None and input_shapes:
        raise click.UsageError("--example and --input-shape both say what the inputs are: give one of them")
    if example is not None and source.endswith(".onnx"):
        raise click.UsageError(f"{source} is a graph already: give the sizes it leaves open with --input-shape")
    conventions = _conventions(options["conventions"])
    preprocessing = preprocessing_from(options)
    if preprocessing is not None and options["activations"] is None:
        raise click.UsageError("the options on images say how --activations reads them: give --activations DATA")
    if html is not None:
        check_writable(html, force=force)
    with console.status(f"analyzing {source}"):
        analysis = _analysis(source, input_shapes, example, options)
        compared = None if other is None else _analysis(other, input_shapes, None, {"arguments": (), "weights": None})
        analysis = _measured(analysis, source, preprocessing, options)
        sections = optional_sections(analysis, compared, conventions, prove=options["prove"], fit=options["fit"])
        page = _page(analysis) if html is not None else ""
    if html is not None:
        with replacing(html, force=force) as file:
            file.write(page.encode("utf-8"))
        console.note(f"wrote {html}")
    if as_json:
        click.echo(json.dumps(analysis.to_dict() | {section.key: section.data for section in sections}))
    elif as_csv:
        click.echo(analysis.to_csv(), nl=False)
    else:
        from cnnc.analysis.table import print_analysis

        print_analysis(analysis, console.out)
        for section in sections:
            console.out.print()
            section.print(console.out)


def _conventions(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    from cnnc.analysis.conventions import CONVENTIONS

    unknown = set(names) - {*CONVENTIONS, "all"}
    if unknown:
        raise click.UsageError(f"--convention {min(unknown)}: give one of {', '.join(CONVENTIONS)}, all")
    return tuple(CONVENTIONS) if "all" in names else names


def _analysis(source: str, input_shapes: tuple[str, ...], example: str | None, options: dict[str, Any]) -> Analysis:
    import cnnc
    from cnnc.cli import console

    inputs = None
    if example is not None:
        from cnnc.examples import from_factory

        inputs = from_factory(example)
    return cnnc.analyze(
        source,
        inputs,
        weights=options["weights"],
        input_shapes=list(input_shapes),
        arguments=console.pairs(options["arguments"]),
    )


def _measured(
    analysis: Analysis, source: str, preprocessing: Preprocessing | None, options: dict[str, Any]
) -> Analysis:
    """With times and activations, where they were asked for."""
    from cnnc_runtime.probe import is_certified

    vouched = not source.endswith(".onnx") or is_certified(source)
    if options["measure"]:
        from cnnc.analysis.timing import measure

        timing = measure(analysis.model, analysis, threads=options["threads"])
        analysis = dataclasses.replace(analysis, timing=timing)
    if options["activations"] is not None:
        from cnnc.analysis.activations import measure_activations

        health = measure_activations(
            analysis.model,
            options["activations"],
            limit=options["samples"],
            preprocessing=preprocessing,
            threads=options["threads"],
            vouched=vouched,
        )
        analysis = dataclasses.replace(analysis, activations=health)
    return analysis


def _page(analysis: Analysis) -> str:
    from cnnc.analysis.report import to_html

    return to_html(analysis)
