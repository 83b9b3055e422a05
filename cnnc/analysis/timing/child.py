"""The child process of a measurement, `python -m cnnc.analysis.timing.child`: jobs in, times out, as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnc.analysis.timing.process import Job, Measured
from cnnc.analysis.timing.trace import engine_graph, kernel_times
from cnnc_runtime.errors import CnncError, InvalidInputError
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import model_error, open_session
from cnnc_runtime.tensors import TensorSpec

__all__: list[str] = []

_WARM_UP = 0.2  # seconds
_FEWEST = 3  # runs
_MOST = 200  # runs; each is a line a kernel in the trace


def _do(job: Job, name: str) -> Measured:
    scratch = Path(job.scratch) if job.scratch is not None else None
    optimized = scratch / "optimized.onnx" if scratch else None
    session, _ = open_session(
        job.model,
        name,
        CPU,
        job.threads,
        "all",
        profile=str(scratch / "trace") if scratch else None,
        optimized=str(optimized) if optimized else None,
    )
    feed = _random_feed(session, job.shapes)
    try:
        seconds = _time(lambda: session.run(None, feed), job.runs)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise model_error(name, error) from error
    if optimized is None:
        return Measured(seconds, ())
    trace = Path(session.end_profiling())
    graph = engine_graph(optimized)
    kernels = kernel_times(json.loads(trace.read_text(encoding="utf-8")), graph, job.runs)
    for file in (trace, optimized):
        file.unlink()
    return Measured(seconds, tuple(kernels))


def _time(call: Callable[[], object], runs: int) -> tuple[float, ...]:
    end, warm = time.perf_counter() + _WARM_UP, 0
    while warm < _FEWEST or (warm < _MOST and time.perf_counter() < end):
        call()
        warm += 1
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return tuple(seconds)


def _random_feed(session: Any, shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Seeded: normal for floating point, 0 or 1 for whole numbers, which may be indices."""
    rng = np.random.default_rng(0)
    feed = {}
    for spec in map(TensorSpec.of, session.get_inputs()):
        if spec.name not in shapes:
            raise InvalidInputError(f"input {spec.name!r} is not in the analysis: analyze the file that is timed")
        shape = tuple(shapes[spec.name])
        random = rng.standard_normal(shape) if spec.dtype.kind == "f" else rng.integers(0, 2, shape)
        feed[spec.name] = random.astype(spec.dtype)
    return feed


def _main(name: str) -> dict[str, Any]:
    try:
        measured = [_do(Job(**plain), name) for plain in json.load(sys.stdin)]
    except CnncError as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"measured": [dataclasses.asdict(one) for one in measured]}


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1])))
