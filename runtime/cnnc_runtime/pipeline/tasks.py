"""Files -> tasks: what can be decoded on its own; files of many items are read as far as they are asked for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnc_runtime.ahead import Ahead
from cnnc_runtime.arrays import open_npy
from cnnc_runtime.errors import CnncError, ResourceLimitError
from cnnc_runtime.pipeline import clips, parquet, pictures, two_stream, video
from cnnc_runtime.pipeline.items import Failure, Item, Reading, Task
from cnnc_runtime.pipeline.samples import npz_tasks, sample_tasks
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

__all__ = ["count_items", "is_container", "list_tasks", "load_task", "skip_items"]


def is_container(file: Path) -> bool:
    """Whether it may hold several items; any other file is an image."""
    suffix = file.suffix.lower()
    return suffix in (".npy", ".npz", ".parquet") or suffix in video.SUFFIXES


def list_tasks(
    files: Iterable[Path], inputs: Sequence[TensorSpec], prepare: Preprocessing | None, reading: Reading
) -> Iterator[Task]:
    """The tasks of all files, in order; a file that cannot be opened gives one that fails."""
    for file in files:
        if not is_container(file):
            yield Task(str(file), 1, functools.partial(pictures.load_file, file, inputs, prepare))
            continue
        try:
            yield from _guarded(str(file), _tasks_in(file, inputs, prepare, reading), reading.timeout)
        except CnncError as error:
            yield _failed(str(file), error)
        except MemoryError:
            yield _failed(str(file), ResourceLimitError(f"{file}: not enough memory to read it"))


def load_task(task: Task) -> list[Item | Failure]:
    """The task's items; what goes wrong is a `Failure` for each."""
    try:
        return task.load()
    except CnncError as error:
        return [Failure(task.name, error)] * task.count
    except MemoryError:
        return [Failure(task.name, ResourceLimitError(f"{task.name}: not enough memory to read it"))] * task.count


def skip_items(tasks: Iterable[Task], count: int) -> Iterator[Task]:
    """The tasks without their first `count` items; no task is loaded for being skipped."""
    for task in tasks:
        if count >= task.count:
            count -= task.count
        elif count:
            yield Task(task.name, task.count - count, functools.partial(_load_rest, task, count))
            count = 0
        else:
            yield task


def count_items(names: Iterable[str], reading: Reading) -> int | None:
    """How many items the files hold by their own claims, in a moment; None where that takes reading them."""
    total = 0
    for name in names:
        count = _count(Path(name), reading)
        if count is None:
            return None
        total += count
    return total


def _count(file: Path, reading: Reading) -> int | None:
    if not is_container(file):
        return 1
    suffix = file.suffix.lower()
    try:
        pictures.check_file(file)
        if suffix == ".parquet":
            return parquet.count_rows(file)
        if suffix in video.SUFFIXES and reading.sampling is not None:
            return clips.count_clips(file, reading.sampling)
        return video.count_frames(file, reading.every) if suffix in video.SUFFIXES else None
    except CnncError:
        return 1  # which will fail


def _tasks_in(
    file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing | None, reading: Reading
) -> Iterator[Task]:
    pictures.check_file(file)
    suffix = file.suffix.lower()
    if suffix == ".npz":
        yield from npz_tasks(file, inputs)
        return
    if suffix in video.SUFFIXES and prepare is not None and prepare.flow is not None:
        yield from two_stream.flow_tasks(file, inputs, prepare, reading)
        return
    pictures.check_one_input(file, inputs)
    spec = inputs[0]
    if suffix == ".npy":
        yield from sample_tasks(str(file), {spec.name: open_npy(file)}, inputs)
    elif suffix == ".parquet":
        for number, content in parquet.read_rows(file, reading.column):
            name = f"{file}[{number}]"
            yield Task(name, 1, functools.partial(pictures.load_content, name, content, spec, prepare))
    elif clips.takes_clips(inputs):
        yield from clips.clip_tasks(file, spec, prepare, reading)
    else:
        for number, frame in video.read_frames(file, reading.every):
            name = f"{file}[{number}]"
            yield Task(name, 1, functools.partial(pictures.load_picture, name, frame, spec, prepare))


def _guarded(name: str, tasks: Iterator[Task], timeout: float | None) -> Iterator[Task]:
    """The same tasks; a read that takes too long is left to a thread of its own, and ends them with an error."""
    if timeout is None:
        yield from tasks
        return

    def late(_: Task | None) -> Task:
        raise ResourceLimitError(f"{name}: its next item could not be read in {timeout:g} s (--timeout)")

    with contextlib.closing(Ahead(None, tasks, window=2, timeout=timeout, late=late)) as ahead:
        yield from ahead


def _failed(name: str, error: CnncError) -> Task:
    return Task(name, 1, lambda: [Failure(name, error)])


def _load_rest(task: Task, skipped: int) -> list[Item | Failure]:
    return load_task(task)[skipped:]
