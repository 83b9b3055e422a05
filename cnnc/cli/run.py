"""`cnnc run`: an artifact on images, folders or arrays."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cnnc_runtime import Engine, Failure, Preprocessing, Result
    from cnnc_runtime.writers import Write

__all__ = ["command"]

_PROGRESS_FROM = 32  # files; fewer are done before a bar could be read


@click.command("run")
@click.argument("model")
@click.argument("paths", metavar="INPUT...", nargs=-1, required=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or tensorrt[:N].")
@click.option("--batch", type=click.IntRange(1, 65536), metavar="N", help="Samples a run (default: 8).")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="K", help="Classes to show.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="F", help="Class names, one a line.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a .csv, .jsonl or .npz.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: str,
    paths: tuple[str, ...],
    device: str,
    batch: int | None,
    top: int,
    labels: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Run MODEL on each INPUT: an image, a folder of images, a .npy or a .npz.

    A .npy of the rank of the net's input is a batch of samples, of one rank less it is one sample.
    """
    from cnnc.cli import console
    from cnnc.cli.run_report import print_json, print_tables
    from cnnc_runtime import Failure, check_model_file, load
    from cnnc_runtime.batch import batch_size
    from cnnc_runtime.media import find_files
    from cnnc_runtime.probe import is_certified, probe
    from cnnc_runtime.results import describe

    # Pillow's remarks on large photographs, odd EXIF and palettes: none of them stops the decoding.
    warnings.filterwarnings("ignore", module="PIL")
    names: Sequence[str] = console.read_labels(labels) if labels else ()
    files = find_files(paths)
    check_model_file(model)
    if not is_certified(model):
        probe(model)
    with load(model, device=device) as engine:
        names = names or (engine.metadata.labels if engine.metadata else ())
        size = batch_size(engine, batch)
        prepare = _preprocessing(engine, model, files)
        records: list[dict[str, Any]] = []
        failures: list[Failure] = []
        done = broken = 0
        with _writer(output, force) as write:
            for result in _results(engine, files, prepare, size):
                if isinstance(result, Failure):
                    failures.append(result)
                    continue
                done += 1
                record = describe(result, names, top)
                broken += any("non_finite" in summary for summary in record["outputs"].values())
                write(result, record)
                if as_json or output is None:  # a data set's worth of records need not be kept
                    records.append(record)
            if not done:  # inside the block, so that no empty output is written
                _raise_for(failures, done)
        report = {
            "model": model,
            "provider": engine.provider,
            "device": engine.device,
            "batch": size,
            "preprocessing": prepare.to_json() if prepare else None,
            "results": records,
            "failed": [{"name": failure.name, "error": str(failure.error)} for failure in failures],
        }
    if broken:
        console.note(f"NaN or infinity in the outputs of {broken} of {done} items")
    if output is not None:
        console.note(f"wrote {done} result{'s' * (done != 1)} of {engine.provider} to {output}")
    if as_json:
        print_json(report)
    elif output is None:
        print_tables(report)
    _raise_for(failures, done)


def _results(
    engine: Engine, files: Sequence[Path], prepare: Preprocessing | None, size: int
) -> Iterator[Result | Failure]:
    """Every item's result, with a bar on stderr that counts files if there are many and someone is looking."""
    from cnnc_runtime import read_items, run_items

    if len(files) < _PROGRESS_FROM or not sys.stderr.isatty():
        yield from run_items(engine, read_items(files, engine.inputs, prepare), size)
        return
    from rich.progress import Progress

    from cnnc.cli import console

    with Progress(console=console.err, transient=True) as progress:
        counted = progress.track(files, description="running")
        yield from run_items(engine, read_items(counted, engine.inputs, prepare), size)


def _writer(output: Path | None, force: bool) -> contextlib.AbstractContextManager[Write]:
    from cnnc_runtime.writers import open_writer

    if output is None:
        return contextlib.nullcontext(lambda result, record: None)
    return open_writer(output, force=force)


def _preprocessing(engine: Engine, model: str, files: Sequence[Path]) -> Preprocessing | None:
    """The stored one, or for images the default, said aloud; with a warning about an unproved artifact."""
    from cnnc.cli import console
    from cnnc_runtime.media import is_image
    from cnnc_runtime.preprocessing import assumed_for

    if engine.metadata is not None and engine.metadata.certificate is None:
        console.note(f"{model} is unverified: it carries no proof that it equals its source")
    if engine.metadata is not None and engine.metadata.preprocessing is not None:
        return engine.metadata.preprocessing
    if len(engine.inputs) != 1 or not any(map(is_image, files)):
        return None
    assumed = assumed_for(engine.inputs[0].shape)
    console.note(
        f"{model} stores no preprocessing; assumed: {assumed}. Store the right one: "
        "cnnc compile ... --preprocess imagenet (or --size, --crop, --mean, --std)"
    )
    return assumed


def _raise_for(failures: Sequence[Failure], done: int) -> None:
    """Name each failed item on stderr and end with exit code 10; an only item's error is its own."""
    from cnnc.cli import console
    from cnnc_runtime.errors import PartialFailureError

    if len(failures) == 1 and not done:
        raise failures[0].error
    for failure in failures:
        console.note(f"skipped {failure.error}")
    if failures:
        raise PartialFailureError(f"{len(failures)} of {len(failures) + done} items failed")
