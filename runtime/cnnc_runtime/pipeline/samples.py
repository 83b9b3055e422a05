"""Arrays -> tasks: a batch of samples in chunks, each sample an item."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cnnc_runtime.arrays import Array, read_npz
from cnnc_runtime.errors import CnncError, InvalidInputError
from cnnc_runtime.pipeline.items import Failure, Item, Task
from cnnc_runtime.tensors import TensorSpec

__all__ = ["npz_tasks", "sample_tasks"]

# Looked at in one task: many small samples, or one large one
_CHUNK_ITEMS = 64
_CHUNK_BYTES = 2**20


def npz_tasks(file: Path, inputs: Sequence[TensorSpec]) -> Iterator[Task]:
    """The tasks of an .npz: an array a key, or, where its keys are the names of the inputs, one feed of them all.

    Raises:
        CnncError: it cannot be read, or does not fit.
    """
    names = [spec.name for spec in inputs]
    arrays = read_npz(file)
    if not arrays:
        raise InvalidInputError(f"{file} holds no arrays")
    if set(arrays) == set(names):
        yield from sample_tasks(str(file), arrays, inputs)
    elif len(inputs) == 1:
        for key, array in arrays.items():
            yield from sample_tasks(f"{file}:{key}", {names[0]: array}, inputs)
    else:
        raise InvalidInputError(f"{file} has the arrays {list(arrays)}, the net takes {names}")


def sample_tasks(name: str, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> Iterator[Task]:
    """Arrays of the inputs' ranks are batches of samples, of one rank less each is one sample.

    Raises:
        InvalidInputError: dtypes, shapes or the numbers of samples do not fit.
    """
    is_batch = all(arrays[spec.name].ndim == len(spec.shape) for spec in inputs)
    try:
        for spec in inputs:
            whole = dataclasses.replace(spec, shape=("N", *spec.shape[1:])) if is_batch else spec.sample
            whole.check(arrays[spec.name])
    except CnncError as error:
        raise type(error)(f"{name}: {error}") from error
    if not is_batch:
        yield Task(name, 1, lambda: [_sample(name, arrays, inputs)])
        return
    counts = {len(arrays[spec.name]) for spec in inputs}
    if len(counts) > 1:
        raise InvalidInputError(f"{name}: its arrays hold different numbers of samples, {sorted(counts)}")
    count = counts.pop()
    sample_bytes = sum(arrays[spec.name].nbytes for spec in inputs) // count
    size = max(1, min(_CHUNK_ITEMS, _CHUNK_BYTES // max(1, sample_bytes)))
    for start in range(0, count, size):
        rows = range(start, min(start + size, count))
        yield Task(
            f"{name}[{rows.start}:{rows.stop}]", len(rows), functools.partial(_chunk, name, arrays, inputs, rows)
        )


def _chunk(name: str, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec], rows: range) -> list[Item | Failure]:
    return [_sample(f"{name}[{index}]", {key: array[index] for key, array in arrays.items()}, inputs) for index in rows]


def _sample(name: str, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> Item | Failure:
    feed = {spec.name: spec.sample.conform(arrays[spec.name]) for spec in inputs}
    for key, array in feed.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return Failure(name, InvalidInputError(f"{name}: input {key!r} holds NaN or infinity"))
    return Item(name, feed)
