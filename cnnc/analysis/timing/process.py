"""Models timed on the engine in a process of their own.

Two sessions in one process slow each other down, as their thread pools spin: hence a process each for the latency,
the profile and the ceilings, as in `cnnc.race`.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.analysis.timing.trace import Kernel
from cnnc_runtime import errors
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError

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
    command = [sys.executable, "-m", "cnnc.analysis.timing.child", name]
    asked = json.dumps([dataclasses.asdict(job) for job in jobs])
    try:
        done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceLimitError(f"{name}: timing it takes more than {_TIMEOUT:g} s: ask for fewer runs") from None
    if done.returncode < 0:
        raise InvalidInputError(f"{name}: crashes onnxruntime (in a process of its own; nothing else was harmed)")
    if done.returncode:
        raise RuntimeError(f"the timing of {name} failed:\n{done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return [_measured(plain) for plain in answer["measured"]]


def _measured(plain: Mapping[str, Any]) -> Measured:
    kernels = [
        Kernel(**{**kernel, "inputs": tuple(kernel["inputs"]), "outputs": tuple(kernel["outputs"])})
        for kernel in plain["kernels"]
    ]
    return Measured(tuple(plain["seconds"]), tuple(kernels))
