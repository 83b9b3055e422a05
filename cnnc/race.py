"""Latency of several contenders for the same work: each in a process of its own, in turn, medians reported.

Two onnxruntime sessions in one process slow each other down (their thread pools spin), and a machine's
speed drifts: hence one process per contender and round, and rounds that alternate. `python -m cnnc.race`
is the child: one contender, one round.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Contender", "measure", "race"]

_WARM_UP = 0.2  # seconds, and then as many again as are timed
_TIMED = 0.8


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run a network: `engine` or `bare` (onnxruntime's own session) on an .onnx file, or
    `eager` on a PyTorch source with `weights`. `shape` is that of its one float32 input.
    """

    kind: str
    source: str
    shape: tuple[int, ...]
    weights: str | None = None


def race(contenders: Mapping[str, Contender], rounds: int = 3) -> dict[str, list[float]]:
    """Seconds per call of each contender: its median in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for turn in range(rounds):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            seconds[name].append(_in_own_process(contenders[name]))
    return seconds


def _in_own_process(contender: Contender) -> float:
    command = [sys.executable, "-m", "cnnc.race", json.dumps(dataclasses.asdict(contender))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{contender.kind} of {contender.source} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _engine(contender: Contender, x: Any) -> Callable[[], object]:
    from cnnc_runtime import load

    engine = load(contender.source, device="cpu")
    return lambda: engine.run(x)


def _bare(contender: Contender, x: Any) -> Callable[[], object]:
    import onnxruntime

    session = onnxruntime.InferenceSession(contender.source, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)


def _eager(contender: Contender, x: Any) -> Callable[[], object]:
    import torch

    from cnnc.source import resolve

    module = resolve(contender.source, weights=contender.weights).module
    assert module is not None
    module.eval()
    tensor = torch.from_numpy(x)

    def call() -> object:
        with torch.inference_mode():
            return module(tensor)

    return call


def measure(call: Callable[[], object]) -> float:
    """The median time of a call, in seconds, after a warm-up."""
    end = time.perf_counter() + _WARM_UP
    call()
    while time.perf_counter() < end:
        call()
    times: list[float] = []
    end = time.perf_counter() + _TIMED
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _main(arguments: Sequence[str]) -> None:
    import numpy as np

    plain = json.loads(arguments[0])
    contender = Contender(**{**plain, "shape": tuple(plain["shape"])})
    x = np.random.default_rng(0).standard_normal(contender.shape).astype(np.float32)
    start = {"engine": _engine, "bare": _bare, "eager": _eager}[contender.kind]
    print(json.dumps(measure(start(contender, x))))


if __name__ == "__main__":
    _main(sys.argv[1:])
