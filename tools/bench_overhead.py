"""What `Engine.run` adds to its own session's bare `run`: alternating calls in one process, medians.

Each net twice: as it is by default, and with `allow_nonfinite`, which leaves out the look at every value.

    python tools/bench_overhead.py [NET ...]     default: lenet5 resnet18

One engine, one session: two sessions in a process slow each other down. The two calls take turns, and
which goes first alternates, so that drift hits both alike.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import cnnc
from cnnc.zoo import ZOO

_SECONDS = 4.0  # per net


def main(names: list[str]) -> None:
    """Print one line a net."""
    print(f"{'net':<10} {'bare':>12} {'engine':>12} {'added':>10} {'added':>8}   calls")
    for name in names:
        compiled = cnnc.compile(name)
        source = compiled.content if compiled.path is None else compiled.path
        x = np.random.default_rng(0).standard_normal((1, *ZOO[name].input_shape)).astype(np.float32)
        for allow in (False, True):
            with cnnc.load(source, device="cpu", allow_nonfinite=allow) as engine:
                feed, session = {engine.inputs[0].name: x}, engine.session
                bare, ours = alternate(lambda s=session, f=feed: s.run(None, f), lambda e=engine, x=x: e.run(x))
            middle, added = statistics.median(bare), statistics.median(ours) - statistics.median(bare)
            print(
                f"{name:<10} {middle * 1e6:>9.1f} µs {statistics.median(ours) * 1e6:>9.1f} µs {added * 1e6:>+7.2f} µs "
                f"{added / middle:>+7.2%}   {len(bare)}{'   NaN allowed' if allow else ''}"
            )


def alternate(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of every call of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (first, second) * 20:
        call()
    end, turn = time.perf_counter() + _SECONDS, 0
    while time.perf_counter() < end:
        for which in ((0, first), (1, second)) if turn % 2 else ((1, second), (0, first)):
            start = time.perf_counter()
            which[1]()
            times[which[0]].append(time.perf_counter() - start)
        turn += 1
    return times


if __name__ == "__main__":
    main(sys.argv[1:] or ["lenet5", "resnet18"])
