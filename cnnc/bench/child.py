"""The child process of a benchmark, `python -m cnnc.bench.child`: a question in, an answer out, as JSON.

Nothing heavy is imported before the clock runs: the imports are part of a cold start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cnnc.bench.energy import meter_for
from cnnc.bench.job import Input, Job, Sample
from cnnc_runtime.errors import CnncError, DeviceError, InvalidInputError

__all__: list[str] = []

_WARM_UP = 0.2  # seconds
_FEWEST = 10  # timed runs
_MOST = 1_000_000  # timed runs

Call = Callable[[], object]


@dataclasses.dataclass
class _Start:
    """A contender brought up: what each step took, and what to call."""

    imports: float
    read: float | None
    session: float
    call: Call
    provider: str
    device: str


def _engine(job: Job) -> _Start:
    with _timed() as imports:
        import numpy  # noqa: F401
        import onnxruntime  # noqa: F401

        import cnnc_runtime.engine
    read = _read_files(job.source)
    with _timed() as session:
        engine = cnnc_runtime.engine.load(job.source, device=job.device, threads=job.threads)
    feed = _feed(job.inputs, engine.inputs[0].name)
    return _Start(imports(), read, session(), lambda: engine.run(feed), engine.provider, engine.device)


def _bare(job: Job) -> _Start:
    with _timed() as imports:
        import numpy  # noqa: F401
        import onnxruntime

        from cnnc_runtime.providers import CPU, parse_device, prepare_cuda, unavailable_reason
        from cnnc_runtime.session import model_error
    read = _read_files(job.source)
    device = parse_device(job.device) or CPU
    if device != CPU:
        prepare_cuda()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if job.threads is not None:
        options.intra_op_num_threads = job.threads
    try:
        with _timed() as session:
            opened = onnxruntime.InferenceSession(job.source, options, providers=device.providers)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise model_error(job.source, error) from error
    if opened.get_providers()[0] != device.provider:
        raise DeviceError(f"{device} cannot be used: {unavailable_reason(device)}")
    feed = _feed(job.inputs, opened.get_inputs()[0].name)

    def call() -> object:
        try:
            return opened.run(None, feed)
        except Exception as error:
            raise model_error(job.source, error) from error

    return _Start(imports(), read, session(), call, opened.get_providers()[0], str(device))


def _eager(job: Job) -> _Start:
    with _timed() as imports:
        import torch

        from cnnc.source import resolve
    device = "cpu" if job.device == "auto" else job.device
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise DeviceError(f"{device} cannot be used by PyTorch {torch.__version__}: it finds no such device")
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    with _timed() as session:
        module = resolve(job.source, weights=job.weights, arguments=job.arguments).module
        if module is None:
            raise InvalidInputError(f"{job.source} is no PyTorch source")
        module.eval().to(device)
    tensors = {name: torch.from_numpy(array).to(device) for name, array in _feed(job.inputs).items()}
    positional, named = _arguments(module, tensors)

    def call() -> object:
        with torch.inference_mode():
            y = module(*positional, **named)
        if device != "cpu":
            torch.cuda.synchronize()
        return y

    return _Start(imports(), None, session(), call, f"PyTorch {torch.__version__} eager", device)


def _arguments(module: Any, tensors: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """By name where forward has every name, else by position: an exported graph may have renamed its inputs."""
    import inspect

    known = set(inspect.signature(module.forward).parameters)
    return ([], dict(tensors)) if set(tensors) <= known else (list(tensors.values()), {})


def _feed(inputs: tuple[Input, ...], only: str = "") -> dict[str, Any]:
    """Seeded: normal for floating point, even for bytes, 0 or 1 for other whole numbers, which may be indices.

    An input without a name is the one called `only`.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    feed = {}
    for one in inputs:
        dtype, shape = np.dtype(one.dtype), [int(size) for size in one.shape]
        whole = rng.integers(0, 256 if dtype == np.uint8 else 2, shape)
        feed[one.name or only] = (rng.standard_normal(shape) if dtype.kind == "f" else whole).astype(dtype)
    return feed


def _read_files(source: str) -> float:
    """Read the model, and the weights beside it: afterwards they are in the page cache."""
    with _timed() as seconds:
        path = Path(source)
        for file in (path, path.with_name(f"{path.name}.data")):
            if file.is_file():
                with file.open("rb", buffering=0) as stream:
                    while stream.read(1 << 24):
                        pass
    return seconds()


@contextlib.contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    start = time.perf_counter()
    end: list[float] = []
    yield lambda: end[0] - start
    end.append(time.perf_counter())


def _measure(job: Job) -> Sample:
    start = {"engine": _engine, "bare": _bare, "eager": _eager}[job.kind](job)
    with _timed() as first:
        start.call()
    end = time.perf_counter() + _WARM_UP
    while time.perf_counter() < end:
        start.call()
    meter, name = meter_for(start.device)
    joules = meter() if meter is not None else None
    times = _time(start.call, job.seconds)
    spent = joules() if joules is not None else None
    import numpy as np

    median, p90, p99 = (float(value) for value in np.percentile(times, (50, 90, 99)))
    return Sample(
        imports=start.imports,
        read=start.read,
        session=start.session,
        first=first(),
        median=median,
        p90=p90,
        p99=p99,
        total=sum(times),
        runs=len(times),
        joules=spent,
        meter=name,
        provider=start.provider,
    )


def _time(call: Call, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _FEWEST or (len(times) < _MOST and time.perf_counter() < end):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return times


def _describe(path: str, device: str) -> dict[str, Any]:
    from cnnc_runtime.engine import load

    with load(path, device=device) as engine:
        prepare = engine.metadata.preprocessing if engine.metadata is not None else None
        return {
            "inputs": [
                {"name": spec.name, "dtype": spec.dtype.name, "shape": list(spec.shape)} for spec in engine.inputs
            ],
            "embedded": prepare is not None and prepare.embedded,
            "device": engine.device,
        }


def _main(question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if "describe" in question:
            return _describe(question["describe"], question["device"])
        plain = question["job"]
        inputs = tuple(Input(one["name"], one["dtype"], tuple(one["shape"])) for one in plain["inputs"])
        return dataclasses.asdict(_measure(Job(**{**plain, "inputs": inputs})))
    except CnncError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception as error:
        if question.get("job", {}).get("kind") != "eager":
            raise
        first = (str(error).splitlines() or [""])[0]  # the network's own: PyTorch adds a screenful
        return {"error": "InvalidInputError", "message": f"{plain['source']} fails: {type(error).__name__}: {first}"}


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what a network prints is no answer
    sys.stdout = sys.stderr
    answer = json.dumps(_main(json.load(sys.stdin)))
    os.write(answers, answer.encode() + b"\n")
