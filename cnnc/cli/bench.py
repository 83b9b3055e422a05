"""`cnnc bench`: latency, throughput and cold start of a network, and of what stands against it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cnnc.bench.result import Bench

__all__ = ["command"]


def _counts(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    try:
        counts = None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r}: give numbers, such as 1,8", context, option) from None
    if counts is not None and (min(counts) < 1 or len(set(counts)) < len(counts)):
        raise click.BadParameter(f"{text!r}: give numbers from 1, each once", context, option)
    return counts


@click.command("bench")
@click.argument("model")
@click.option("--against", multiple=True, metavar="M", help="Another MODEL on the same inputs; may be repeated.")
@click.option(
    "--batch", "batches", callback=_counts, metavar="N,N", help="Items a run (default: 1, or what MODEL fixes)."
)
@click.option("--threads", callback=_counts, metavar="N,N", help="CPU threads of a run (default: each one's own).")
@click.option("--rounds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Processes for each figure.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Of timed runs in each process.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or tensorrt[:N].")
@click.option("--input-shape", "input_shapes", multiple=True, metavar="[x:]1,3,224,224", help="Where a size is open.")
@click.option("--weights", type=click.Path(), metavar="F", help="Checkpoint of a PyTorch source.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="Keyword argument of its factory.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="F", help="Draw an .html (or .png, with kaleido).")
@click.option("--force", is_flag=True, help="Overwrite the plot.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, machine included.")
def command(
    model: str,
    against: tuple[str, ...],
    input_shapes: tuple[str, ...],
    arguments: tuple[str, ...],
    threads: list[int] | None,
    plot: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure MODEL: an .onnx file on cnnc's engine, bare:FILE.onnx on onnxruntime alone, or a source in PyTorch.

    Each figure comes from a process of its own; contenders take turns. A source is a name of `cnnc zoo`, file.py:Net
    or pkg.mod:Net.
    """
    from cnnc.bench.bench import bench
    from cnnc.cli import console
    from cnnc.examples import parse_shapes
    from cnnc_runtime.atomic import check_writable

    if plot is not None:
        from cnnc.bench.plot import check_plot

        check_writable(plot, force=force)
        check_plot(plot)
    with _progress() as progress:
        result = bench(
            model,
            against,
            threads=threads or (None,),
            shapes=parse_shapes(input_shapes),
            arguments=console.pairs(arguments),
            progress=progress,
            **options,
        )
    if plot is not None:
        from cnnc.bench.plot import save_plot

        save_plot(result, plot, force=force)
        console.note(f"wrote {plot}")
    _show(result, as_json=as_json)


def _show(result: Bench, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.to_dict()))
        return
    from cnnc.bench.table import print_bench
    from cnnc.cli import console

    print_bench(result, console.out)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A line on stderr that counts processes, where someone is looking."""
    from cnnc.cli import console

    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    with console.err.status("measuring") as status:
        yield lambda done, of: status.update(f"measuring: {done} of {of} processes")
