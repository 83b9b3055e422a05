"""Latency of several contenders for the same work: each in a process of its own, in turn; see `cnnc.bench`."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping

from cnnc.bench.bench import in_turn
from cnnc.bench.job import Input, Job, Kind, run_job

__all__ = ["Contender", "measure", "race"]

_WARM_UP = 0.2  # seconds
_TIMED = 0.8
_LEAST = 5  # calls


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run a network: `engine` or `bare` (onnxruntime's own session) on an .onnx file, or
    `eager` on a PyTorch source with `weights`. `shape` is that of its one float32 input.
    """

    kind: Kind
    source: str
    shape: tuple[int, ...]
    weights: str | None = None


def race(contenders: Mapping[str, Contender], rounds: int = 3) -> dict[str, list[float]]:
    """Seconds per call of each contender: its median in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in in_turn(list(contenders), rounds):
        for name in turn:
            one = contenders[name]
            job = Job(one.kind, one.source, (Input("", "float32", one.shape),), seconds=_TIMED, weights=one.weights)
            seconds[name].append(run_job(job).median)
    return seconds


def measure(call: Callable[[], object], warm_up: float = _WARM_UP, timed: float = _TIMED, least: int = _LEAST) -> float:
    """The median time of a call in this process, in seconds.

    Args:
        call: what is timed.
        warm_up: seconds of calls before, at least one.
        timed: seconds of calls.
        least: of those, the fewest.
    """
    end = time.perf_counter() + warm_up
    call()
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    end = time.perf_counter() + timed
    while time.perf_counter() < end or len(times) < least:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
