"""The middle of `cnnc run`: takes the results as they come, keeps them, and puts the output together."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli import console
from cnnc.cli.interrupts import Interrupts, leave_at_once
from cnnc.cli.run_progress import Skipped, rate, with_bar

if TYPE_CHECKING:
    from cnnc_runtime import Engine, Failure, Preprocessing, Result
    from cnnc_runtime.maps.drawing import Draw
    from cnnc_runtime.media import Reading
    from cnnc_runtime.pipeline.journal import Journal
    from cnnc_runtime.pipeline.stream import Results

__all__ = ["Job", "Outcome", "run_job"]

Record = dict[str, Any]
Keep = Callable[["Result | Failure", Record], None]

_GRACE = 1.0  # seconds for the engine to finish its batch after Control-C
_LONGEST_BATCH = 60.0  # the same after an error, when nobody waits at the keyboard


@dataclass(frozen=True)
class Job:
    """What is to be run, how, and where the results go: into memory if `output` is None."""

    engine: Engine
    model: str
    names: Sequence[str]
    prepare: Preprocessing | None
    reading: Reading
    batch: int
    labels: Sequence[str]
    top: int
    output: Path | None
    force: bool
    resume: bool
    fail_fast: bool
    asked: int | None = None
    draws: Sequence[Draw] = ()
    drawn: str = ""


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        done, failed, non_finite: items with a result, without one, and with NaN or infinity in the result.
        records: what is said of each item, failed ones too; empty if that went to the output only.
        only: the failure that was the only item.
        seconds: e.g. `"12.1 s (165 items/s)"`.
    """

    done: int = 0
    failed: int = 0
    non_finite: int = 0
    records: list[Record] = field(default_factory=list)
    only: Failure | None = None
    seconds: str = ""

    def count(self, record: Record) -> None:
        """Add one item."""
        self.failed += "error" in record
        self.done += "error" not in record
        self.non_finite += any("non_finite" in summary for summary in record.get("outputs", {}).values())


def run_job(job: Job, *, collect: bool) -> Outcome:
    """Run all items and write the output, if any was not failed; `collect` keeps the records in memory.

    Raises:
        KeyboardInterrupt: Control-C; what is finished is in the journal.
        CnncError: what ends the run as a whole; likewise.
    """
    outcome = Outcome()
    if job.output is None:

        def keep(result: Result | Failure, record: Record) -> None:
            outcome.count(record)
            if collect:
                outcome.records.append(record)

        _consume(job, outcome, keep, 0, lambda: None)
        return outcome
    with _open_journal(job, job.output) as journal:

        def say_kept() -> None:
            if journal.finished:
                kept = f"{journal.finished} finished items are kept in {journal.path}"
                console.note(f"{kept}: --resume goes on with them")

        try:
            _consume(job, outcome, _keeper(journal, job.output), journal.finished, say_kept)
            _assemble(job, journal, outcome, collect)
        except BaseException:
            say_kept()
            raise
    return outcome


def _consume(job: Job, outcome: Outcome, keep: Keep, finished: int, say_kept: Callable[[], None]) -> None:
    from cnnc_runtime import Failure
    from cnnc_runtime.maps.windows import Windows
    from cnnc_runtime.pipeline.stream import stream
    from cnnc_runtime.pipeline.tasks import count_items
    from cnnc_runtime.results import describe

    start, count, skipped = time.monotonic(), 0, Skipped()
    slides = Windows.of(job.engine.metadata) is not None
    explanation = job.engine.metadata.explanation if job.engine.metadata is not None else None
    heat_map = explanation.output if explanation is not None else None
    results = stream(job.engine, job.names, job.prepare, job.reading, batch=job.batch, skip=finished, asked=job.asked)
    batches = with_bar(results, len(job.names), finished, lambda: count_items(job.names, job.reading))
    with Interrupts() as interrupts, _closing(results, say_kept), contextlib.closing(batches):
        for batch in batches:
            for result in batch:
                if isinstance(result, Failure):
                    if job.fail_fast:
                        raise result.error
                    record = {"name": result.name, "error": str(result.error)}
                else:
                    result, record = _drawn(
                        job, result, describe(result, job.labels, job.top, slides=slides, heat_map=heat_map)
                    )
                with interrupts.held():
                    keep(result, record)
                count += 1
                skipped.saw(result)
    outcome.seconds = rate(count, start)
    outcome.only = skipped.only_one if not finished else None


def _drawn(job: Job, result: Result, record: Record) -> tuple[Result | Failure, Record]:
    """The result, drawn; one that cannot be is no worse than an input that cannot be read."""
    from cnnc_runtime import Failure
    from cnnc_runtime.errors import InvalidInputError

    try:
        for draw in job.draws:
            draw(result)
    except InvalidInputError as error:
        if job.fail_fast:
            raise
        return Failure(result.name, error), {"name": result.name, "error": str(error)}
    return result, record


@contextlib.contextmanager
def _closing(results: Results, say_kept: Callable[[], None]) -> Any:
    """Ends the threads; if the engine cannot be brought to an end in time after Control-C, the process does."""
    try:
        yield
    except KeyboardInterrupt:
        if not results.close(_GRACE):
            say_kept()
            click.echo("cnnc: interrupted", err=True)
            sys.stdout.flush()
            leave_at_once()
        raise
    finally:
        results.close(_LONGEST_BATCH)


def _open_journal(job: Job, output: Path) -> Journal:
    from cnnc_runtime.pipeline.fingerprint import fingerprint
    from cnnc_runtime.pipeline.journal import Journal

    options = {
        "--top": job.top,
        "--labels": list(job.labels),
        "--every": job.reading.every,
        "--column": job.reading.column,
        **({"the clips": str(job.reading.sampling)} if job.reading.sampling is not None else {}),
        **({"what is drawn": job.drawn} if job.drawn else {}),
        "the provider": job.engine.provider,
        "the preprocessing": job.prepare.to_json() if job.prepare else None,
    }
    journal = Journal(output, fingerprint(job.model, job.names, options), resume=job.resume, force=job.force)
    if journal.finished:
        console.note(f"going on after {journal.finished} finished items")
    return journal


def _keeper(journal: Journal, output: Path) -> Keep:
    from cnnc_runtime import Result
    from cnnc_runtime.writers import HOLDS_ARRAYS

    holds_arrays = output.suffix.lower() in HOLDS_ARRAYS

    def keep(result: Result | Failure, record: Record) -> None:
        journal.append(record, result.outputs if holds_arrays and isinstance(result, Result) else None)

    return keep


def _assemble(job: Job, journal: Journal, outcome: Outcome, collect: bool) -> None:
    """The output from the journal's records; none if every item failed, and then no journal either."""
    from cnnc_runtime import Failure, Result
    from cnnc_runtime.errors import CnncError
    from cnnc_runtime.pipeline.journal import may_overwrite
    from cnnc_runtime.writers import open_writer

    assert job.output is not None
    outcome.failed, outcome.non_finite = journal.failed, journal.non_finite
    outcome.done = journal.finished - journal.failed
    if not outcome.done:
        return
    with open_writer(job.output, force=job.force or may_overwrite(job.output)) as write:
        for record, arrays in journal.records():
            is_failed = "error" in record
            name = record["name"]
            write(Failure(name, CnncError(record["error"])) if is_failed else Result(name, arrays), record)
            if collect:
                outcome.records.append(record)
        journal.mark_assembled()
