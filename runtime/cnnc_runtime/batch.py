"""Runs a stream of items in batches, and takes the outputs apart again: one result an item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import CnncError, UnsupportedModelError, UsageError
from cnnc_runtime.media import Failure, Item

__all__ = ["DEFAULT_BATCH", "Result", "batch_size", "run_items"]

DEFAULT_BATCH = 8


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
    """Run consecutive items of equal shape together; failures pass through, and a failed run yields them.

    A net with a fixed batch gets its last group filled up with repeats, whose outputs are dropped.

    Raises:
        UsageError, UnsupportedModelError: as `batch_size`.
    """
    size = batch_size(engine, batch)
    group: list[Item] = []
    for item in items:
        if isinstance(item, Failure):
            yield item
            continue
        if group and (len(group) == size or _shapes(item) != _shapes(group[0])):
            yield from _run(engine, group, size)
            group = []
        group.append(item)
    if group:
        yield from _run(engine, group, size)


def _run(engine: Engine, group: list[Item], size: int) -> Iterator[Result | Failure]:
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
    except CnncError as error:
        for item in group:
            yield Failure(item.name, type(error)(f"{item.name}: {error}"))
        return
    for index, item in enumerate(group):
        yield Result(item.name, {name: output[index] for name, output in outputs.items()})


def _shapes(item: Item) -> list[tuple[int, ...]]:
    return [array.shape for array in item.feed.values()]
