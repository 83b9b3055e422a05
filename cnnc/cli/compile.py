"""`cnnc compile`: a trained CNN -> a verified artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cnnc.cli.preprocess_options import preprocessing_from, preprocessing_options


@click.command("compile")
@click.argument("source")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the artifact goes.")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint: .pt, .pth or .safetensors.")
@click.option("--input-shape", "input_shapes", multiple=True, metavar="[x:]1,3,224,224", help="Shape of an input.")
@click.option("--example", metavar="F.py:fn", help="Function that returns the example inputs, instead of shapes.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="Keyword argument of the factory.")
@click.option("--dynamic", multiple=True, metavar="x:0=batch", help="An axis that varies (default: the batch).")
@click.option("--static", is_flag=True, help="Fix every shape, the batch included.")
@click.option("--state", "states", multiple=True, metavar="h[=h_next]", help="A state, and its next value's output.")
@click.option("--opset", type=int, help="ONNX operator set (default: PyTorch's).")
@click.option(
    "--target",
    type=click.Choice(["onnxruntime", "cpu", "portable"]),
    default="onnxruntime",
    show_default=True,
    help="cpu: for onnxruntime's CPU provider only. portable: for other engines.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Class names, one a line.")
@preprocessing_options
@click.option("--embed-preprocessing", is_flag=True, help="Do its arithmetic in the graph: uint8 (N, H, W, C) in.")
@click.option("--fully-convolutional", is_flag=True, help="Larger images give a map of scores: of each window.")
@click.option("--explain", metavar="cam|gradcam[:LAYER]", help="Add a heat map of the places that speak for a class.")
@click.option(
    "--explain-class", type=click.Choice(["top", "input"]), default="top", help="input: an input asks for the class."
)
@click.option("--skip-pass", "skip", multiple=True, metavar="P", help="Leave a pass out (`cnnc passes`).")
@click.option("--passes", "only", metavar="P,P", help="Run these passes only.")
@click.option("--bisect-limit", "limit", type=click.IntRange(min=0), help="Apply no more than N rewrite instances.")
@click.option("--device", default="auto", show_default=True, help="Where the proof runs: auto, cpu, cuda.")
@click.option("--input-range", "ranges", multiple=True, metavar="[x:]LO,HI", help="Values the inputs may take.")
@click.option("--verify-data", multiple=True, type=click.Path(path_type=Path), help="Data to prove it on as well.")
@click.option("--allow-training-ops", is_flag=True, help="Take BatchNormalization and Dropout as in training.")
@click.option("--no-verify", is_flag=True, help="Write the artifact without its proof, marked unverified.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--verbose", is_flag=True, help="Also list where a law declined, and what converts layouts, and why.")
def command(
    source: str,
    output: Path,
    weights: Path | None,
    input_shapes: tuple[str, ...],
    example: str | None,
    arguments: tuple[str, ...],
    dynamic: tuple[str, ...],
    static: bool,
    labels: Path | None,
    only: str | None,
    ranges: tuple[str, ...],
    states: tuple[str, ...],
    no_verify: bool,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Compile SOURCE (file.py:Net, pkg.mod:Net, model.onnx, or a name of `cnnc zoo`) into a verified artifact.

    The batch is dynamic unless --static or --dynamic says otherwise.
    """
    from cnnc.cli import console
    from cnnc.compiler import compile as compile_network
    from cnnc.examples import parse_dynamic, parse_ranges
    from cnnc.states import parse_states

    if static and dynamic:
        raise click.UsageError("--static fixes every axis, --dynamic frees one: give one of them")
    preprocessing = preprocessing_from(options)
    if no_verify:
        console.note("--no-verify: the artifact will carry no proof that it equals its source")
    with console.status(f"compiling {source}"):
        compiled = compile_network(
            source,
            output=output,
            weights=weights,
            arguments=console.pairs(arguments),
            input_shapes=input_shapes,
            example_factory=example,
            dynamic={} if static else parse_dynamic(dynamic) or None,
            preprocessing=preprocessing,
            labels=console.read_labels(labels) if labels else (),
            only=None if only is None else _names(only),
            prove=not no_verify,
            input_range=parse_ranges(ranges),
            states=parse_states(states),
            **options,
        )
    if as_json:
        click.echo(json.dumps({**compiled.report.to_dict(), "output": str(output), "seconds": compiled.report.seconds}))
    else:
        _show(compiled.report, output, verbose)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("name at least one pass, of those that `cnnc passes` lists", param_hint="--passes")
    return names


def _show(report: Any, output: Path, verbose: bool) -> None:
    from rich.table import Table

    from cnnc.cli import console

    table = Table("", "before", "after", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("nodes", f"{report.passes.nodes_before:,}", f"{report.passes.nodes_after:,}")
    for what, field in (("parameters", "params"), ("MACs", "macs"), ("weight bytes", "weight_bytes")):
        table.add_row(what, *(f"{getattr(cost, field):,}" if cost else "?" for cost in (report.before, report.after)))
    console.out.print(table)
    applied = ", ".join(f"{law} ×{count}" for law, count in report.passes.applied().items())
    console.out.print(f"rewrites: {applied or 'none applied'}", highlight=False)
    for one in report.passes.dropped():
        console.out.print(f"dropped: {one.law} at {one.node}: {one.reason}", highlight=False, markup=False)
    if verbose:
        for one in report.passes.declined():
            console.out.print(f"  {one.law} declined at {one.node}: {one.reason}", highlight=False, markup=False)
        if report.fusion is not None:
            _show_engine(*report.fusion)
    if report.sliding is not None:
        window, stride = ("x".join(map(str, sizes)) for sizes in (report.sliding.window, report.sliding.stride))
        console.out.print(f"fully convolutional: scores of every window of {window} at a stride of {stride}")
    proof = report.certificate
    if proof is not None:
        console.proof(proof)
        console.out.print(
            f"each rewrite on its own: {proof.local['proved']} shown equal, {sum(proof.local['unproved'].values())} "
            "covered by the whole alone",
            highlight=False,
        )
    size = output.stat().st_size
    console.out.print(
        f"wrote {output} ({size / 1e6:.1f} MB) in {sum(report.seconds.values()):.1f} s",
        highlight=False,
        markup=False,
    )


def _show_engine(before: Any, after: Any) -> None:
    """What the engine makes of the artifact: kernels that do several operators' work, and what converts layouts."""
    from cnnc.cli import console
    from cnnc.engine_graph.barriers import describe_barriers

    fused = ", ".join(f"{kind} ×{count}" for kind, count in after.fused.items())
    loose = ", ".join(f"{op} ×{count}" for op, count in after.loose.items())
    lines = [f"the engine fuses: {fused or 'nothing'}; leaves on their own: {loose or 'nothing'}"]
    for line in (*lines, *describe_barriers(after.barriers, before.barriers)):
        console.out.print(line, highlight=False, markup=False)


__all__ = ["command"]
