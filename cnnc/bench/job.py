"""One contender measured once, in a process of its own: what it is asked, and what it answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from cnnc.child import ask

__all__ = ["Input", "Job", "Kind", "Model", "Sample", "describe", "run_job"]

Kind = Literal["engine", "bare", "eager"]
"""cnnc's engine, onnxruntime's own session, or PyTorch as it is."""
_TIMEOUT = 900.0  # seconds


@dataclasses.dataclass(frozen=True)
class Input:
    """One input: its name, NumPy type and shape; an int is fixed, a word an axis that is open."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class Job:
    """Measure one contender.

    Attributes:
        kind: how it runs.
        source: an .onnx file, or for `eager` what `cnnc.source.resolve` takes.
        inputs: every axis an int. A name that is no parameter of a PyTorch source's forward counts by position.
        threads: of one run; None for the default of what runs it.
        device: as of `cnnc.load`.
        seconds: of timed runs, after a warm-up.
        weights, arguments: of a PyTorch source.
    """

    kind: Kind
    source: str
    inputs: tuple[Input, ...]
    threads: int | None = None
    device: str = "cpu"
    seconds: float = 1.0
    weights: str | None = None
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Sample:
    """What one process measured, in seconds.

    Attributes:
        imports: importing the libraries, the interpreter's own start not counted.
        read: reading the model's files into the page cache; None where no file was named.
        session: from there to something that can be called.
        first: the first run.
        median, p90, p99: of the timed runs.
        total: their sum.
        runs: their number.
        joules: that the device used meanwhile, all that ran on it; None where nobody says.
        meter: where that comes from, or why there is no such figure.
        provider: what ran it.
    """

    imports: float
    read: float | None
    session: float
    first: float
    median: float
    p90: float
    p99: float
    total: float
    runs: int
    joules: float | None
    meter: str
    provider: str


def run_job(job: Job) -> Sample:
    """Measure in a child process.

    Raises:
        CnncError: what the contender raised in the child.
        InvalidInputError: it crashes its process.
        ResourceLimitError: it takes too long.
    """
    return Sample(**_ask({"job": dataclasses.asdict(job)}, job.source))


@dataclasses.dataclass(frozen=True)
class Model:
    """What an .onnx file takes, whether its preprocessing is inside, and the device that `auto` means for it."""

    inputs: tuple[Input, ...]
    embedded: bool
    device: str


def describe(path: str, device: str) -> Model:
    """Load an .onnx file in a child process and say what it takes.

    Raises:
        CnncError: it cannot be loaded on `device`.
    """
    answer = _ask({"describe": path, "device": device}, path)
    inputs = tuple(Input(one["name"], one["dtype"], tuple(one["shape"])) for one in answer["inputs"])
    return Model(inputs, answer["embedded"], answer["device"])


def _ask(question: Mapping[str, Any], name: str) -> dict[str, Any]:
    return ask("cnnc.bench.child", question, about=name, timeout=_TIMEOUT)
