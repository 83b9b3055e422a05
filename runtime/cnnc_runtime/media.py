"""Files -> items: images, .npy and .npz, Parquet and videos, decoded a little ahead of being asked for."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnc_runtime.ahead import WINDOW, Ahead
from cnnc_runtime.errors import ResourceLimitError, UnsupportedModelError
from cnnc_runtime.pipeline.items import Failure, Item, Reading, Task
from cnnc_runtime.pipeline.names import list_names
from cnnc_runtime.pipeline.tasks import is_container, list_tasks, load_task, skip_items
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Failure", "Item", "Reading", "find_files", "holds_pictures", "is_image", "read_items"]


def find_files(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that `paths` name; a folder gives its images at any depth, sorted, a pattern what it fits.

    Raises:
        InvalidInputError: a folder holds no image, or cannot be read, or a pattern fits nothing.
    """
    return list(map(Path, list_names(paths)))


def is_image(path: Path) -> bool:
    """Whether a file counts as one image: any that holds neither arrays nor several items."""
    return not is_container(path)


def holds_pictures(path: Path) -> bool:
    """Whether a file's items need preprocessing: any but .npy and .npz."""
    return path.suffix.lower() not in (".npy", ".npz")


def read_items(
    files: Iterable[Path],
    inputs: Sequence[TensorSpec],
    prepare: Preprocessing | None = None,
    reading: Reading | None = None,
    *,
    skip: int = 0,
    window: int = WINDOW,
    above: threading.Event | None = None,
) -> Iterator[Item | Failure]:
    """Decode the files in order, a few ahead in threads; what cannot be used comes out as a `Failure`.

    Args:
        files: what `find_files` gave.
        inputs: the net's inputs, batch axis first.
        prepare: for pictures; where None, `assumed_for` the input's shape.
        reading: which frames, which column, how long; as `Reading()` if None.
        skip: items at the beginning that are left out, without being decoded.
        window: the most files or chunks decoded ahead.
        above: as `Ahead`.

    Yields:
        An `Item` a sample. An image is one, as is each frame of a video and each row of a Parquet file; a .npy
        of the input's rank is a batch, of one rank less a sample; a .npz is such an array a key, or, where its
        keys are the names of the inputs, one feed of them all.

    Raises:
        UnsupportedModelError: an input has no batch axis.
    """
    if not inputs or any(not spec.shape for spec in inputs):
        raise UnsupportedModelError("the net has an input without a batch axis: run it from Python")
    reading = reading or Reading()
    chunks = Ahead(
        load_task,
        skip_items(list_tasks(files, inputs, prepare, reading), skip),
        window=window,
        timeout=reading.timeout,
        late=functools.partial(_late, reading.timeout),
        above=above,
    )
    with contextlib.closing(chunks):
        for chunk in chunks:
            yield from chunk


def _late(timeout: float | None, task: Task | None) -> list[Item | Failure]:
    assert task is not None and timeout is not None
    error = ResourceLimitError(f"{task.name}: not decoded in {timeout:g} s (--timeout)")
    return [Failure(task.name, error)] * task.count
