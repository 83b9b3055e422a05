"""What the engine's options buy: a warm start, joined calls of many threads, two engines in one process.

    python tools/bench_engine.py start  NET ...    default: resnet50 mobileone_s0
    python tools/bench_engine.py submit NET ...    default: lenet5 alexnet
    python tools/bench_engine.py two    NET ...    default: lenet5 resnet18

`start` loads each net in fresh processes, in turn, with no cache, with an empty one and with a filled one. `submit`
compares the throughput of 64 threads that call `run` and 64 that call `submit`. `two` alternates between two engines,
with the second one's threads spinning or not.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cnnc
from cnnc.zoo import ZOO
from cnnc_runtime.engine import Engine

_SECONDS = 6.0
_WARMUP = 2.0
_ROUNDS = 7
_CALLERS = 64
_WAIT = 0.02

_CHILD = """
import hashlib, json, sys, time
import numpy as np
import onnxruntime
path, kind = sys.argv[1:]
from cnnc_runtime.engine import load
start = time.perf_counter()
if kind == "bare":
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter()
    (arg,) = session.get_inputs()
    run = lambda x: session.run(None, {arg.name: x})[0]
else:
    engine = load(path, device="cpu", cache=kind == "cache")
    loaded = time.perf_counter()
    (arg,) = engine.inputs
    run = engine.run
x = np.ones([side if isinstance(side, int) else 1 for side in arg.shape], np.float32)
begun = time.perf_counter()
y = run(x)
done = time.perf_counter()
print(json.dumps([loaded - start, done - begun, hashlib.sha256(np.ascontiguousarray(y)).hexdigest()]))
"""


def main(mode: str, names: list[str]) -> None:
    """Print a line for each net."""
    if mode == "start":
        for name in names or ["resnet50", "mobileone_s0"]:
            start(name)
    elif mode == "submit":
        for name in names or ["lenet5", "alexnet"]:
            submit(name)
    elif mode == "two":
        for name in names or ["lenet5", "resnet18"]:
            two(name)
    else:
        sys.exit(__doc__)


def start(name: str) -> None:
    """Milliseconds of load and of the first run, without and with a cache, and whether the outputs are equal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        cnnc.compile(name, output=path, device="cpu")
        os.environ["CNNC_CACHE"] = str(Path(folder) / "cache")
        filling = _child(path, "cache")
        times: dict[str, list[Any]] = {"bare": [], "plain": [], "cache": []}
        for _ in range(_ROUNDS):
            for kind in times:
                times[kind].append(_child(path, kind))
    figures = "  ".join(
        f"{kind} {1e3 * statistics.median(t[0] for t in runs):.1f} + {1e3 * statistics.median(t[1] for t in runs):.1f}"
        for kind, runs in times.items()
    )
    ratio = statistics.median(t[0] for t in times["cache"]) / statistics.median(t[0] for t in times["bare"])
    equal = len({run[2] for runs in times.values() for run in runs} | {filling[2]}) == 1
    print(f"{name:<14} load + first run, ms: {figures}  (filling the cache {1e3 * filling[0]:.1f})", end="  ")
    print(f"cached / bare {ratio:.2f}  {'equal' if equal else 'DIFFERENT OUTPUTS'}")


def _child(path: Path, kind: str) -> Any:
    done = subprocess.run([sys.executable, "-c", _CHILD, str(path), kind], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def submit(name: str) -> None:
    """Calls a second of 64 threads, by `run` and by `submit`, and the latencies of the latter."""
    compiled = cnnc.compile(name, device="cpu")
    assert compiled.content is not None
    x = _input(name)
    # 64 Python threads that were answered together need some milliseconds to call again
    with Engine(compiled.content, device="cpu", max_batch=_CALLERS, max_wait=_WAIT) as engine:
        rates: dict[str, list[float]] = {"run": [], "submit": []}
        latencies: list[float] = []
        for _ in range(3):
            rates["run"].append(_throughput(lambda: engine.run(x), []))
            rates["submit"].append(_throughput(lambda: engine.submit(x).result(), latencies))
        batch = np.concatenate([x] * _CALLERS)
        one = statistics.median(_time(lambda: engine.run(batch)) for _ in range(5))
    run, joined = (statistics.median(rates[kind]) for kind in ("run", "submit"))
    print(
        f"{name:<10} run {run:,.0f}/s  submit {joined:,.0f}/s  ({joined / run:.2f}x)  "
        f"p50 {np.percentile(latencies, 50) * 1e3:.1f} ms, p99 {np.percentile(latencies, 99) * 1e3:.1f} ms; "
        f"wait {_WAIT * 1e3:.0f} ms + one batch of {_CALLERS} {one * 1e3:.1f} ms; "
        f"the batch itself gives {_CALLERS / one:,.0f}/s"
    )


def _throughput(call: Callable[[], object], latencies: list[float]) -> float:
    """Calls a second, once all threads have been answered for `_WARMUP` seconds."""
    begin = time.perf_counter() + _WARMUP
    end = begin + _SECONDS
    counts = [0] * _CALLERS

    def work(index: int) -> None:
        while (begun := time.perf_counter()) < end:
            call()
            if begun >= begin:
                latencies.append(time.perf_counter() - begun)
                counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


def two(name: str) -> None:
    """Microseconds of a call where two engines take turns, with and without the second one's spinning."""
    content = cnnc.compile(name, device="cpu").content
    assert content is not None
    x = _input(name)
    figures = {}
    for kind in ("alone", "spinning", "as cnnc does"):
        figures[kind] = subprocess.run(
            [sys.executable, __file__, "two-child", kind, str(ZOO[name].input_shape)],
            input=content,
            capture_output=True,
            check=True,
        ).stdout.decode()
    print(f"{name:<10} input {x.shape}  " + "  ".join(f"{kind}: {text.strip()}" for kind, text in figures.items()))


def _two_child(kind: str, shape: str) -> None:
    from cnnc_runtime import opening

    content = sys.stdin.buffer.read()
    x = np.ones((1, *(int(side) for side in shape.strip("()").split(","))), np.float32)
    engines = [Engine(content, device="cpu")]
    if kind == "spinning":
        opening.live.count = lambda: 0  # the second one believes to be the first
    if kind != "alone":
        engines.append(Engine(content, device="cpu"))
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        for engine in engines:
            times.append(_time(lambda engine=engine: engine.run(x)))
    print(f"{statistics.median(times) * 1e6:.1f} us")


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _input(name: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((1, *ZOO[name].input_shape)).astype(np.float32)


if __name__ == "__main__":
    if sys.argv[1:2] == ["two-child"]:
        _two_child(*sys.argv[2:])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
