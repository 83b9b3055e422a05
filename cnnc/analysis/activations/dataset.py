"""The data to run -> batches of inputs, and labels where there are.

It is arrays, a .npy or .npz, images or a folder of them, a video or a Parquet file.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cnnc.analysis.activations.labels import Labels, encode, folder_labels, take_labels
from cnnc_runtime.arrays import open_npy, read_npz
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError, UsageError
from cnnc_runtime.media import Failure, Item, Reading, find_files, is_image, read_items
from cnnc_runtime.pipeline import parquet, video
from cnnc_runtime.pipeline.clips import sampling_for, takes_clips
from cnnc_runtime.pipeline.pictures import check_file
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Data", "Dataset", "open_dataset"]

Data = str | os.PathLike[str] | np.ndarray | Sequence[str | os.PathLike[str]]
Feed = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Samples in their order, of which some may have been drawn.

    Attributes:
        count: how many.
        labels: of these, or None.
        batches: size -> feeds of that many samples, the last of what is left.
    """

    count: int
    labels: Labels | None
    batches: Callable[[int], Iterator[Feed]]


def open_dataset(
    data: Data,
    inputs: Sequence[TensorSpec],
    *,
    labels: ArrayLike | None,
    limit: int,
    preprocessing: Preprocessing | None,
    seed: int,
) -> Dataset:
    """Open `data` for a network of these `inputs`, see `measure_activations`.

    Where there are more than `limit` samples, that many are drawn from `seed`: a data set is often sorted by class.

    Raises:
        InvalidInputError: it cannot be read, is empty, does not fit the inputs, or the labels do not fit it.
        UsageError: `limit` is below one.
    """
    if limit < 1:
        raise UsageError(f"`limit` is {limit}: at least one sample")
    if any(not spec.shape for spec in inputs):
        raise UnsupportedModelError("the net has an input without a batch axis: its samples cannot be told apart")
    if isinstance(data, np.ndarray):
        return _of_arrays("the data", {_only(inputs, "one array").name: data}, inputs, labels, limit, seed)
    paths = [Path(data)] if isinstance(data, (str, os.PathLike)) else [Path(path) for path in data]
    if len(paths) == 1 and not is_image(paths[0]):
        if paths[0].suffix.lower() in (".npy", ".npz"):
            return _of_file(paths[0], inputs, labels, limit, seed)
        return _of_rows(paths[0], inputs, labels, limit, preprocessing, seed)
    files = find_files(paths)
    arrays = next((file for file in files if not is_image(file)), None)
    if arrays is not None:
        raise InvalidInputError(f"{arrays}: arrays, videos and Parquet are given as one file, not beside others")
    if not files:
        raise InvalidInputError("the data is an empty list: name images, a folder, a .npy or an .npz")
    given = labels if labels is not None else folder_labels(paths[0], files) if len(paths) == 1 else None
    spec = _only(inputs, "images")
    prepare = None if preprocessing is None else preprocessing.fitted(spec.shape)
    chosen = _draw(len(files), limit, seed)
    some = [files[i] for i in chosen]
    return Dataset(
        len(some),
        encode(given, len(files), chosen) if given is not None else None,
        lambda size: _picture_batches(read_items(some, [spec], prepare), spec, size),
    )


def _of_rows(
    path: Path,
    inputs: Sequence[TensorSpec],
    labels: ArrayLike | None,
    limit: int,
    preprocessing: Preprocessing | None,
    seed: int,
) -> Dataset:
    """The frames of a video, or its clips one after the other where the net takes clips; the rows of a Parquet file."""
    spec = _only(inputs, "a video or Parquet file")
    prepare = None if preprocessing is None else preprocessing.fitted(spec.shape)
    reading = Reading(sampling=sampling_for(spec, prepare, clips=None) if takes_clips(inputs) else None)
    check_file(path)
    if path.suffix.lower() == ".parquet":
        count = parquet.count_rows(path)
    else:
        frames = video.count_decoded(path)  # not what the file claims: samples are drawn by number
        count = frames if reading.sampling is None else len(reading.sampling.starts(frames))
    if not count:
        raise InvalidInputError(f"{path} holds no rows")
    chosen = _draw(count, limit, seed)

    def batches(size: int) -> Iterator[Feed]:
        wanted = frozenset(chosen.tolist())
        items = read_items([path], [spec], prepare, reading)
        return _picture_batches((item for i, item in enumerate(items) if i in wanted), spec, size)

    return Dataset(len(chosen), encode(labels, count, chosen) if labels is not None else None, batches)


def _of_file(path: Path, inputs: Sequence[TensorSpec], labels: ArrayLike | None, limit: int, seed: int) -> Dataset:
    if not path.exists():
        raise InvalidInputError(f"{path}: no such file")
    if path.suffix.lower() == ".npy":
        name = _only(inputs, "a .npy, one array").name
        return _of_arrays(str(path), {name: open_npy(path)}, inputs, labels, limit, seed)
    arrays = read_npz(path)
    names = [spec.name for spec in inputs]
    found = take_labels(arrays, names)
    if not set(names) <= set(arrays):
        if len(arrays) != 1 or len(names) != 1:
            raise InvalidInputError(f"{path} has the arrays {list(arrays)} besides labels, the net takes {names}")
        arrays = {names[0]: next(iter(arrays.values()))}
    feed = {name: arrays[name] for name in names}
    return _of_arrays(str(path), feed, inputs, labels if labels is not None else found, limit, seed)


def _of_arrays(
    name: str, arrays: Feed, inputs: Sequence[TensorSpec], labels: ArrayLike | None, limit: int, seed: int
) -> Dataset:
    if all(arrays[spec.name].ndim == len(spec.shape) - 1 for spec in inputs):  # one sample
        arrays = {key: array[None] for key, array in arrays.items()}
    whole = [TensorSpec(spec.name, spec.dtype, ("N", *spec.shape[1:])) for spec in inputs]
    try:
        for spec in whole:
            spec.check(arrays[spec.name])
    except CnncError as error:
        raise type(error)(f"{name}: {error}") from error
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1:
        raise InvalidInputError(f"{name}: its arrays hold different numbers of samples, {sorted(counts)}")
    count = counts.pop()
    chosen = _draw(count, limit, seed)

    def batches(size: int) -> Iterator[Feed]:
        for start in range(0, len(chosen), size):
            rows = chosen[start : start + size]
            feed = {spec.name: spec.conform(arrays[spec.name][rows]) for spec in whole}
            for key, array in feed.items():
                _check_finite(name, key, array, rows)
            yield feed

    return Dataset(len(chosen), encode(labels, count, chosen) if labels is not None else None, batches)


def _picture_batches(items: Iterator[Item | Failure], spec: TensorSpec, size: int) -> Iterator[Feed]:
    shape: tuple[int, ...] | None = None
    while group := list(itertools.islice(items, size)):
        arrays = []
        for item in group:
            if isinstance(item, Failure):
                raise item.error
            array = item.feed[spec.name]
            shape = shape or array.shape
            if array.shape != shape:
                raise InvalidInputError(f"{item.name} becomes {array.shape}, others {shape}: give --size HEIGHT,WIDTH")
            arrays.append(array)
        yield {spec.name: np.stack(arrays)}


def _check_finite(name: str, key: str, array: np.ndarray, rows: np.ndarray) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = rows[~np.isfinite(array.reshape(len(array), -1)).all(axis=1)][0]
    raise InvalidInputError(f"{name}: sample {bad} of input {key!r} holds NaN or infinity")


def _draw(count: int, limit: int, seed: int) -> np.ndarray:
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def _only(inputs: Sequence[TensorSpec], what: str) -> TensorSpec:
    if len(inputs) != 1:
        names = [spec.name for spec in inputs]
        raise InvalidInputError(f"the net takes the inputs {names}: give an .npz with these keys, not {what}")
    return inputs[0]
