"""Runs a stream of items in batches, and takes the outputs apart again: one result an item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import CnncError, DeviceError, InvalidInputError, UnsupportedModelError, UsageError
from cnnc_runtime.pipeline.items import Failure, Item

__all__ = ["DEFAULT_BATCH", "Result", "batch_size", "run_batches", "run_items"]

DEFAULT_BATCH = 8

_MOST_WAITING = 4  # batches of entries that wait while failures, which need no run, come between the items


@dataclass(frozen=True)
class Result:
    """The outputs of one item, by name, without the batch axis."""

    name: str
    outputs: dict[str, NDArray[Any]]


def batch_size(engine: Engine, wanted: int | None = None) -> int:
    """Samples a batch: the net's own where its batch axis is fixed, else `wanted`, else `DEFAULT_BATCH`.

    Raises:
        UsageError: `wanted` is below 1 or contradicts the net.
        UnsupportedModelError: the inputs fix different batches.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"`batch` is {wanted}: at least 1")
    fixed = {spec.shape[0] for spec in engine.inputs if spec.shape and isinstance(spec.shape[0], int)}
    if not fixed:
        return wanted or DEFAULT_BATCH
    if len(fixed) > 1:
        raise UnsupportedModelError(f"the net's inputs fix different batch sizes, {sorted(fixed)}")
    size = int(fixed.pop())
    if wanted not in (None, size):
        raise UsageError(f"`batch` is {wanted}, but this net was compiled for batches of {size}")
    return size


def run_items(engine: Engine, items: Iterable[Item | Failure], batch: int | None = None) -> Iterator[Result | Failure]:
    """Run consecutive items of equal shape together, order kept; a run that fails yields failures.

    A net with a fixed batch gets its last group filled up with repeats, whose outputs are dropped.

    Raises:
        UsageError, UnsupportedModelError: as `batch_size`.
        DeviceError: the GPU failed.
    """
    for results in run_batches(engine, items, batch_size(engine, batch)):
        yield from results


def run_batches(engine: Engine, items: Iterable[Item | Failure], size: int) -> Iterator[list[Result | Failure]]:
    """As `run_items`, the results of a batch, and the failures between them, at a time.

    Raises:
        DeviceError: the GPU failed.
    """
    waiting: list[Item | Failure] = []
    group: list[Item] = []
    for item in items:
        if isinstance(item, Item):
            if group and (len(group) == size or _shapes(item) != _shapes(group[0])):
                yield _outcomes(engine, waiting, group, size)
                waiting, group = [], []
            group.append(item)
        waiting.append(item)
        if len(group) == size or not group or len(waiting) >= _MOST_WAITING * size:
            yield _outcomes(engine, waiting, group, size)
            waiting, group = [], []
    if waiting:
        yield _outcomes(engine, waiting, group, size)


def _outcomes(engine: Engine, waiting: list[Item | Failure], group: list[Item], size: int) -> list[Result | Failure]:
    results = iter(_run(engine, group, size) if group else [])
    return [entry if isinstance(entry, Failure) else next(results) for entry in waiting]


def _run(engine: Engine, group: list[Item], size: int) -> list[Result | Failure]:
    is_fixed = any(isinstance(spec.shape[0], int) for spec in engine.inputs)
    filled = group + [group[-1]] * (size - len(group)) if is_fixed else group
    try:
        feed = {name: np.stack([item.feed[name] for item in filled]) for name in group[0].feed}
        outputs = engine.run(feed)
        for name, output in outputs.items():
            if output.shape[:1] != (len(filled),):
                raise UnsupportedModelError(
                    f"output {name!r} of shape {output.shape} has no batch axis: run it from Python"
                )
    except DeviceError:
        raise  # nothing after it would run either
    except InvalidInputError as error:
        if len(group) > 1:  # one of them is at fault, the others are not to suffer
            return [result for item in group for result in _run(engine, [item], size)]
        return [Failure(item.name, type(error)(f"{item.name}: {error}")) for item in group]
    except CnncError as error:
        return [Failure(item.name, type(error)(f"{item.name}: {error}")) for item in group]
    return [
        Result(item.name, {name: output[index] for name, output in outputs.items()}) for index, item in enumerate(group)
    ]


def _shapes(item: Item) -> list[tuple[int, ...]]:
    return [array.shape for array in item.feed.values()]
