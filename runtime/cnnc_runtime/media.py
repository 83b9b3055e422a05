"""Paths -> items: images, folders of them, .npy and .npz, decoded as they are asked for, or a little ahead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnc_runtime.ahead import ahead
from cnnc_runtime.arrays import Array, open_npy, read_npz
from cnnc_runtime.errors import CnncError, InvalidInputError, ResourceLimitError, UnsupportedModelError
from cnnc_runtime.images import SUFFIXES, open_image
from cnnc_runtime.preprocessing import Preprocessing, assumed_for
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Failure", "Item", "find_files", "is_image", "read_items"]


@dataclass(frozen=True)
class Item:
    """One sample: an array for each input, without the batch axis."""

    name: str
    feed: dict[str, Array]


@dataclass(frozen=True)
class Failure:
    """One item that could not be read or run; the error's message names it."""

    name: str
    error: CnncError


def find_files(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that `paths` name; a folder gives its images, at any depth, sorted.

    Raises:
        InvalidInputError: a folder holds no image, or cannot be read.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            found = sorted(file for file in path.rglob("*") if _is_visible_image(file, path))
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
        if not found:
            raise InvalidInputError(f"{path} holds no images ({', '.join(sorted(SUFFIXES))})")
        files += found
    return files


def is_image(path: Path) -> bool:
    """Whether a file counts as an image: any but .npy and .npz."""
    return path.suffix.lower() not in (".npy", ".npz")


def read_items(
    files: Iterable[Path], inputs: Sequence[TensorSpec], prepare: Preprocessing | None = None
) -> Iterator[Item | Failure]:
    """Decode the files in order, images a few ahead in threads; what cannot be used comes out as a `Failure`.

    Args:
        files: what `find_files` gave.
        inputs: the net's inputs, batch axis first.
        prepare: for images; where None, `assumed_for` the input's shape.

    Yields:
        An `Item` a sample. An image is one; a .npy of the input's rank is a batch, of one rank less a sample;
        a .npz is such an array a key, or, where its keys are the names of the inputs, one feed of them all.

    Raises:
        UnsupportedModelError: an input has no batch axis.
    """
    if not inputs or any(not spec.shape for spec in inputs):
        raise UnsupportedModelError("the net has an input without a batch axis: run it from Python")

    def start(file: Path) -> Iterable[Item | Failure]:
        items = _items(file, inputs, prepare)
        return list(items) if is_image(file) else items  # an image is decoded here, in a thread

    for items in ahead(start, files):
        yield from items


def _items(file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing | None) -> Iterator[Item | Failure]:
    try:
        yield from _read(file, inputs, prepare)
    except CnncError as error:
        yield Failure(str(file), error)
    except MemoryError:
        yield Failure(str(file), ResourceLimitError(f"{file}: not enough memory to read it"))


def _read(file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing | None) -> Iterator[Item | Failure]:
    _check_file(file)
    names = [spec.name for spec in inputs]
    if file.suffix.lower() == ".npz":
        arrays = read_npz(file)
        if not arrays:
            raise InvalidInputError(f"{file} holds no arrays")
        if set(arrays) == set(names):
            yield from _samples(str(file), arrays, inputs)
        elif len(inputs) == 1:
            for key, array in arrays.items():
                yield from _samples(f"{file}:{key}", {names[0]: array}, inputs)
        else:
            raise InvalidInputError(f"{file} has the arrays {list(arrays)}, the net takes {names}")
    elif len(inputs) != 1:
        raise InvalidInputError(f"{file} is one array, the net takes {names}: give an .npz with these keys")
    elif file.suffix.lower() == ".npy":
        yield from _samples(str(file), {names[0]: open_npy(file)}, inputs)
    else:
        yield _image(file, inputs[0], prepare)


def _image(file: Path, spec: TensorSpec, prepare: Preprocessing | None) -> Item:
    prepare = prepare or assumed_for(spec.shape)
    image = open_image(file)
    try:
        array: Array = prepare(image)
        if spec.dtype.kind == "f":
            array = array.astype(spec.dtype)  # the pixels are ours to round, to float16 too
        return Item(str(file), {spec.name: spec.sample.conform(array)})
    except CnncError as error:
        way_out = "" if prepare.resize or prepare.crop else "; this preprocessing does not resize: compile with --size"
        raise type(error)(f"{file}: {error}{way_out}") from error


def _samples(name: str, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> Iterator[Item | Failure]:
    """Arrays of the inputs' ranks are batches of samples, of one rank less each is one sample."""
    is_batch = all(arrays[spec.name].ndim == len(spec.shape) for spec in inputs)
    try:
        for spec in inputs:
            whole = TensorSpec(spec.name, spec.dtype, ("N", *spec.shape[1:])) if is_batch else spec.sample
            whole.check(arrays[spec.name])
    except CnncError as error:
        raise type(error)(f"{name}: {error}") from error
    if not is_batch:
        yield _sample(name, arrays, inputs)
        return
    counts = {len(arrays[spec.name]) for spec in inputs}
    if len(counts) > 1:
        raise InvalidInputError(f"{name}: its arrays hold different numbers of samples, {sorted(counts)}")
    for index in range(counts.pop()):
        yield _sample(f"{name}[{index}]", {key: array[index] for key, array in arrays.items()}, inputs)


def _sample(name: str, arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> Item | Failure:
    feed = {spec.name: spec.sample.conform(arrays[spec.name]) for spec in inputs}
    for key, array in feed.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return Failure(name, InvalidInputError(f"{name}: input {key!r} holds NaN or infinity"))
    return Item(name, feed)


def _check_file(file: Path) -> None:
    if not file.exists():
        raise InvalidInputError(f"{file}: no such file")
    if not file.is_file():  # opening a FIFO would wait for ever
        raise InvalidInputError(f"{file} is not a regular file")
    if file.stat().st_size == 0:
        raise InvalidInputError(f"{file} is empty")


def _is_visible_image(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)  # such as macOS's ._photo.jpg
    return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()
