"""What a benchmark found: a row for each contender, batch and number of threads, as plain data."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

from cnnc.bench.job import Job, Sample

__all__ = ["SCHEMA", "Bench", "ColdStart", "Row", "summarize"]

SCHEMA = 1
"""Of `Bench.to_dict`: raised when a field changes its meaning or goes."""


@dataclasses.dataclass(frozen=True)
class ColdStart:
    """Seconds from a started interpreter to the first result, each the median of the rounds.

    Attributes:
        imports: of the libraries.
        read: of the model's files from disk (or the page cache); None where there is no such file.
        session: from there to something that can be called.
        first: the first run.
    """

    imports: float
    read: float | None
    session: float
    first: float

    @property
    def total(self) -> float:
        return self.imports + (self.read or 0.0) + self.session + self.first


@dataclasses.dataclass(frozen=True)
class Row:
    """One contender at one batch and number of threads.

    Attributes:
        contender, provider: its name, and what ran it.
        batch: items a run.
        threads: CPU threads of a run; None for the default of what ran it.
        median, p90, p99: seconds a run: percentiles of each round's runs, the median of the rounds.
        spread: the lowest and the highest median of a round.
        throughput: items a second over all timed runs of a round, the median of the rounds.
        runs: timed in all rounds.
        inputs: their types and shapes by name, the batch included.
        cold: the start.
        joules: an item; None where the machine does not say.
        meter: where that comes from, or why there is none.
    """

    contender: str
    provider: str
    batch: int
    threads: int | None
    median: float
    p90: float
    p99: float
    spread: tuple[float, float]
    throughput: float
    runs: int
    inputs: dict[str, str]
    cold: ColdStart
    joules: float | None
    meter: str


@dataclasses.dataclass(frozen=True)
class Bench:
    """All rows, the first contender's first, and what they were measured on."""

    rows: tuple[Row, ...]
    rounds: int
    seconds: float
    device: str
    machine: dict[str, Any]

    def against_first(self, row: Row) -> float:
        """How many times faster than the first contender at the same batch and threads: its median over the row's."""
        first = self.rows[0].contender
        for one in self.rows:
            if (one.contender, one.batch, one.threads) == (first, row.batch, row.threads):
                return one.median / row.median
        raise KeyError(f"no row of {first}")

    def meters(self) -> tuple[str, ...]:
        """What each row's energy comes from, or why it has none; each said once."""
        return tuple(dict.fromkeys(row.meter for row in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: seconds, items a second, joules an item."""
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "device": self.device,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "results": [dataclasses.asdict(row) | {"against_first": self.against_first(row)} for row in self.rows],
        }


def summarize(contender: str, batch: int, job: Job, samples: Sequence[Sample]) -> Row:
    """The rounds of one contender's job as a row."""

    def middle(name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in samples))

    medians = [one.median for one in samples]
    reads = [one.read for one in samples if one.read is not None]
    energy = [one.joules / (one.runs * batch) for one in samples if one.joules is not None]
    return Row(
        contender=contender,
        provider=samples[0].provider,
        batch=batch,
        threads=job.threads,
        median=middle("median"),
        p90=middle("p90"),
        p99=middle("p99"),
        spread=(min(medians), max(medians)),
        throughput=statistics.median(batch * one.runs / one.total for one in samples),
        runs=sum(one.runs for one in samples),
        inputs={one.name: f"{one.dtype} {'x'.join(map(str, one.shape))}" for one in job.inputs},
        cold=ColdStart(
            imports=middle("imports"),
            read=statistics.median(reads) if reads else None,
            session=middle("session"),
            first=middle("first"),
        ),
        joules=statistics.median(energy) if energy else None,
        meter=samples[0].meter,
    )
