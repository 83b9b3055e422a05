"""Models timed on the engine in a process of their own.

Two sessions in one process slow each other down, as their thread pools spin: hence a process each for the latency,
the profile and the ceilings, as in `cnnc.race`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.analysis.timing.trace import Kernel
from cnnc.child import ask

__all__ = ["Job", "Measured", "run_jobs"]

_TIMEOUT = 900.0  # seconds, for all jobs of a process


@dataclasses.dataclass(frozen=True)
class Job:
    """Time a model.

    Attributes:
        model: the path of an .onnx file.
        shapes: of its inputs, by name.
        runs: to time, after the warm-up.
        threads: of one run; None for onnxruntime's choice.
        scratch: a folder for the profile; None for no profile.
    """

    model: str
    shapes: Mapping[str, Sequence[int]]
    runs: int
    threads: int | None
    scratch: str | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """Seconds of each run; with a profile, the kernels of the engine's graph."""

    seconds: tuple[float, ...]
    kernels: tuple[Kernel, ...]


def run_jobs(jobs: Sequence[Job], name: str) -> list[Measured]:
    """Do the jobs one after the other in one child process; a session is closed before the next opens.

    Args:
        jobs: what to time.
        name: what messages call the model.

    Raises:
        CnncError: what the engine raised in the child.
        InvalidInputError: the model crashes the engine.
        ResourceLimitError: it takes too long.
    """
    asked = [dataclasses.asdict(job) for job in jobs]
    answer = ask("cnnc.analysis.timing.child", asked, about=name, timeout=_TIMEOUT, arguments=[name])
    return [_measured(plain) for plain in answer["measured"]]


def _measured(plain: Mapping[str, Any]) -> Measured:
    kernels = [
        Kernel(**{**kernel, "inputs": tuple(kernel["inputs"]), "outputs": tuple(kernel["outputs"])})
        for kernel in plain["kernels"]
    ]
    return Measured(tuple(plain["seconds"]), tuple(kernels))
