"""`cnnc run`: an artifact on images, folders, arrays, videos (their frames or clips) or Parquet files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.clip_options import clip_batch, clip_options, sampling_from
from cnnc.cli.flow_options import flow_folders
from cnnc.cli.picture_options import class_for, draws_for, picture_options, pictures_from

if TYPE_CHECKING:
    from cnnc.cli.run_job import Job, Outcome
    from cnnc_runtime import Engine, Preprocessing

__all__ = ["command"]

_SUMMARY_FROM = 32  # items without an output file; fewer are counted at a glance


@click.command("run")
@click.argument("model")
@click.argument("paths", metavar="INPUT...", nargs=-1, required=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or tensorrt[:N].")
@click.option("--require-device", is_flag=True, help="Fail if a node or a copy lands elsewhere.")
@click.option(
    "--batch", type=click.IntRange(1, 65536), metavar="N", help="Samples a run (default: 8, of large clips less)."
)
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="K", help="Classes to show.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="F", help="Class names, one a line.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a .csv, .jsonl, .parquet or .npz.")
@click.option("--force", is_flag=True, help="Overwrite the output.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run of the same command.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first bad item, with its own exit code.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds to decode one item.")
@click.option("--every", type=click.IntRange(1), default=1, metavar="N", help="Of videos, every Nth frame only.")
@clip_options
@click.option("--flow-out", type=click.Path(path_type=Path), metavar="DIR", help="Write pictures of the optical flow.")
@picture_options
@click.option("--column", metavar="NAME", help="Of Parquet files, the column with the images.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    model: str,
    paths: tuple[str, ...],
    device: str,
    require_device: bool,
    batch: int | None,
    top: int,
    labels: Path | None,
    output: Path | None,
    force: bool,
    resume: bool,
    fail_fast: bool,
    timeout: float | None,
    every: int,
    column: str | None,
    flow_out: Path | None,
    as_json: bool,
    **clip_choices: Any,
) -> None:
    """Run MODEL on each INPUT: an image, a folder of images, a .npy, .npz or .parquet, a video.

    Quoted patterns ('photos/**/*.jpg') are understood, and - reads file names from standard input. A .npy of the
    rank of the net's input is a batch of samples, of one rank less it is one sample.
    """
    from cnnc.cli import console
    from cnnc.cli.run_job import Job, run_job
    from cnnc_runtime import check_model_file, load
    from cnnc_runtime.batch import batch_size
    from cnnc_runtime.media import Reading
    from cnnc_runtime.pipeline.asked import item_inputs
    from cnnc_runtime.pipeline.names import list_names
    from cnnc_runtime.pipeline.recurrent import frame_batch, has_states
    from cnnc_runtime.probe import is_certified, probe

    # Pillow's remarks on large photographs, odd EXIF and palettes: none of them stops the decoding.
    warnings.filterwarnings("ignore", module="PIL")
    _check_output(output, force, resume)
    pictures = pictures_from(clip_choices)
    classes: Sequence[str] = console.read_labels(labels) if labels else ()
    names = list_names(paths, sys.stdin.buffer)
    check_model_file(model)
    if not is_certified(model):
        probe(model)
    # The cores on which the engine's threads would wait for the next batch are those that decode it
    with load(model, device=device, require_device=require_device, spinning=False) as engine:
        prepare = _preprocessing(engine, model, names)
        inputs = item_inputs(engine)
        sampling = sampling_from(clip_choices, inputs, prepare, every)
        named = classes or (engine.metadata.labels if engine.metadata else ())
        job = Job(
            engine=engine,
            model=model,
            names=names,
            prepare=prepare,
            reading=Reading(every, column, timeout, sampling, flow_folders(flow_out, prepare, names)),
            batch=frame_batch(engine, batch) if has_states(engine) else batch_size(engine, batch or clip_batch(inputs)),
            labels=named,
            top=top,
            output=output,
            force=force,
            resume=resume,
            fail_fast=fail_fast,
            draws=draws_for(pictures, engine, names, prepare, named),
            drawn=f"{pictures} --flow-out {flow_out}".strip() if flow_out else str(pictures),
            asked=class_for(pictures, engine, named),
        )
        outcome = run_job(job, collect=as_json or output is None)
        _report(job, outcome, as_json)


def _report(job: Job, outcome: Outcome, as_json: bool) -> None:
    """Print what is to be printed, and end with exit code 10 if items failed; an only item's error is its own."""
    from cnnc.cli import console
    from cnnc.cli.run_report import print_json, print_tables
    from cnnc_runtime.errors import PartialFailureError

    if outcome.only is not None:
        raise outcome.only.error
    engine, total = job.engine, outcome.done + outcome.failed
    if outcome.done:
        if outcome.non_finite:
            console.note(f"NaN or infinity in the outputs of {outcome.non_finite} of {outcome.done} items")
        results = f"{outcome.done} result{'s' * (outcome.done != 1)} of {engine.provider}"
        failed = f", {outcome.failed} failed" * (outcome.failed > 0)
        if job.output is not None:
            console.note(f"wrote {results} to {job.output} in {outcome.seconds}{failed}")
        elif total >= _SUMMARY_FROM and sys.stderr.isatty():
            console.note(f"{results} in {outcome.seconds}{failed}")
        report: dict[str, Any] = {
            "model": job.model,
            "provider": engine.provider,
            "device": engine.device,
            "batch": job.batch,
            "preprocessing": job.prepare.to_json() if job.prepare else None,
            "results": [record for record in outcome.records if "error" not in record],
            "failed": [record for record in outcome.records if "error" in record],
        }
        if as_json:
            print_json(report)
        elif job.output is None:
            print_tables(report)
    if outcome.failed:
        raise PartialFailureError(f"{outcome.failed} of {total} items failed")


def _check_output(output: Path | None, force: bool, resume: bool) -> None:
    """Raise before any work what would stop the output from being written."""
    from cnnc_runtime.atomic import check_writable
    from cnnc_runtime.errors import UsageError
    from cnnc_runtime.pipeline.journal import may_overwrite
    from cnnc_runtime.writers import check_format

    if output is None:
        if resume:
            raise UsageError("--resume goes on with an output file: give the same -o as before")
        return
    check_format(output)
    check_writable(output, force=force or (resume and may_overwrite(output)))


def _preprocessing(engine: Engine, model: str, names: Sequence[str]) -> Preprocessing | None:
    """The stored one, or for images the default, said aloud; with a warning about an unproved artifact."""
    from cnnc.cli import console
    from cnnc_runtime.media import holds_pictures
    from cnnc_runtime.pipeline.asked import item_inputs
    from cnnc_runtime.preprocessing import assumed_for
    from cnnc_runtime.recurrent.streaming import frame_inputs

    inputs = [spec for spec in frame_inputs(engine) if spec in item_inputs(engine)]
    if engine.metadata is not None and engine.metadata.certificate is None:
        console.note(f"{model} is unverified: it carries no proof that it equals its source")
    if engine.metadata is not None and engine.metadata.preprocessing is not None:
        return engine.metadata.preprocessing
    if len(inputs) != 1 or not any(holds_pictures(Path(name)) for name in names):
        return None
    assumed = assumed_for(inputs[0].shape)
    console.note(
        f"{model} stores no preprocessing; assumed: {assumed}. Store the right one: "
        "cnnc compile ... --preprocess imagenet (or --size, --crop, --mean, --std)"
    )
    return assumed
