"""bench(): contenders x batches x threads, in rounds that take turns, each measurement in a process of its own.

Two engines in one process slow each other down (their thread pools spin), and a machine's speed drifts: hence one
process a measurement, the order of the contenders rotated from round to round, and medians of the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from cnnc.bench.contenders import contenders_for
from cnnc.bench.job import Sample, run_job
from cnnc.bench.result import Bench, summarize
from cnnc.machine import describe_machine
from cnnc_runtime.errors import UsageError

__all__ = ["bench", "in_turn"]

T = TypeVar("T")

_MOST_THREADS = 1024


def bench(
    model: str,
    against: Sequence[str] = (),
    *,
    batches: Sequence[int] | None = None,
    threads: Sequence[int | None] = (None,),
    rounds: int = 3,
    seconds: float = 1.0,
    device: str = "auto",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    weights: str | None = None,
    arguments: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Bench:
    """Measure `model` and what stands against it.

    Args:
        model: an .onnx file, `bare:FILE.onnx` for onnxruntime without cnnc's engine, or a PyTorch source (eager).
        against: more of them.
        batches: items a run; None for what the file of `model` fixes, else 1.
        threads: CPU threads of a run; None for the default of each contender.
        rounds: processes a contender, batch and number of threads.
        seconds: of timed runs in each.
        device: as of `cnnc.load`, for all.
        shapes: of inputs by name, batch included, where neither a file nor the zoo says.
        weights, arguments: of the PyTorch sources.
        progress: called with the processes done and all there are.

    Raises:
        UsageError: the options do not fit each other or a contender.
        CnncError: a contender fails.
    """
    for name, values, most in (
        ("batch", batches or (), 65536),
        ("threads", [one for one in threads if one], _MOST_THREADS),
    ):
        if not all(1 <= value <= most for value in values) or len(set(values)) < len(values):
            raise UsageError(f"`{name}` is {list(values)}: numbers from 1 to {most}, each once")
    if rounds < 1 or not 0 < seconds <= 600:
        raise UsageError(f"{rounds} rounds of {seconds:g} seconds: at least 1, of up to 600 seconds each")
    contenders, on = contenders_for([model, *against], shapes or {}, device, weights, arguments)
    batches = batches or (contenders[0].fixed_batch or 1,)
    cells = [(batch, count) for batch in batches for count in threads]
    jobs = {
        (one.name, batch, count): one.job(batch, count, on, seconds) for one in contenders for batch, count in cells
    }
    samples: dict[tuple[str, int, int | None], list[Sample]] = {key: [] for key in jobs}
    done = 0
    for turn in in_turn(contenders, rounds):
        for cell in cells:
            for one in turn:
                key = (one.name, *cell)
                samples[key].append(run_job(jobs[key]))
                done += 1
                progress(done, rounds * len(jobs))
    rows = tuple(summarize(key[0], key[1], jobs[key], found) for key, found in samples.items())
    return Bench(rows, rounds, seconds, on, describe_machine())


def in_turn(contenders: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """The order of each round: another contender first each time."""
    for turn in range(rounds):
        first = turn % len(contenders)
        yield [*contenders[first:], *contenders[:first]]
