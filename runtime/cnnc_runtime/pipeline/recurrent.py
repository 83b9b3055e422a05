"""An artifact with states on videos: the frames of each in order through one stream, which begins anew at each."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnc_runtime.arrays import open_npy
from cnnc_runtime.batch import Result
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import CnncError, DeviceError, InvalidInputError, UnsupportedModelError, UsageError
from cnnc_runtime.media import read_items
from cnnc_runtime.pipeline.items import Failure, Item, Reading
from cnnc_runtime.pipeline.tasks import list_tasks
from cnnc_runtime.pipeline.video import SUFFIXES
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.recurrent.streaming import Stream, frame_inputs
from cnnc_runtime.tensors import TensorSpec

__all__ = ["check_clips", "frame_batch", "has_states", "run_clips"]


def has_states(engine: Engine) -> bool:
    """Whether frames must run in order."""
    return engine.metadata is not None and bool(engine.metadata.states)


def frame_batch(engine: Engine, wanted: int | None = None) -> int:
    """1: each frame needs the state that the one before it left.

    Raises:
        UsageError: more are wanted, or the net was compiled for more.
    """
    if wanted not in (None, 1):
        raise UsageError(f"`batch` is {wanted}, but this net has states: the frames of a video run one by one")
    fixed = {spec.shape[0] for spec in engine.inputs if spec.shape and isinstance(spec.shape[0], int)} - {1}
    if fixed:
        raise UsageError(
            f"this net was compiled for {max(fixed)} clips at once: compile it with an open batch, or call "
            "engine.stream() from Python"
        )
    return 1


def check_clips(names: Sequence[str]) -> None:
    """Nothing, if all are videos or arrays.

    Raises:
        UsageError: names the first that is not.
    """
    for name in names:
        if Path(name).suffix.lower() not in SUFFIXES | {".npy"}:
            raise UsageError(
                f"{name} is no clip, and this net has states, which go from frame to frame: give videos, or .npy "
                "arrays (T, C, H, W)"
            )


def run_clips(
    engine: Engine,
    names: Sequence[str],
    prepare: Preprocessing | None,
    reading: Reading,
    *,
    skip: int = 0,
    above: threading.Event | None = None,
) -> Iterator[list[Result | Failure]]:
    """The result of every frame, in order, one at a time. A frame that fails leaves the state as it was.

    Args:
        engine: of an artifact with states.
        names: videos, and .npy arrays (T, C, H, W).
        prepare, reading: as `read_items`.
        skip: frames at the beginning that are done already: of a video in which they end, they run once more, as the
            state comes from them, but their results are left out.
        above: as `Ahead`.

    Raises:
        DeviceError: the GPU failed.
    """
    inputs = frame_inputs(engine)
    with engine.stream() as stream:
        for file in map(Path, names):
            if skip and (count := _count(file, inputs, prepare, reading, skip + 1)) <= skip:
                skip -= count
                continue
            stream.reset()
            for item in _items(file, inputs, prepare, reading, above):
                result = _step(stream, item)
                if skip:
                    skip -= 1
                else:
                    yield [result]


def _count(
    file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing | None, reading: Reading, enough: int
) -> int:
    """How many items the file has, or `enough`."""
    count = 0
    with contextlib.closing(list_tasks([file], inputs, prepare, reading)) as tasks:  # type: ignore[type-var]
        for task in tasks:
            count += task.count
            if count >= enough:
                return enough
    return count


def _items(
    file: Path,
    inputs: Sequence[TensorSpec],
    prepare: Preprocessing | None,
    reading: Reading,
    above: threading.Event | None,
) -> Iterator[Item | Failure]:
    if file.suffix.lower() == ".npy":
        with contextlib.suppress(CnncError):  # whose failure is read below
            shape = open_npy(file).shape
            if len(shape) == len(inputs[0].shape) - 1:
                error = f"{file} of shape {shape} is one frame, and this net has states: give a clip of one axis more"
                yield Failure(str(file), InvalidInputError(error))
                return
    yield from read_items([file], inputs, prepare, reading, above=above)


def _step(stream: Stream, item: Item | Failure) -> Result | Failure:
    if isinstance(item, Failure):
        return item
    try:
        outputs = stream.step({name: array[None] for name, array in item.feed.items()})
        for name, output in outputs.items():
            if output.shape[:1] != (1,):
                raise UnsupportedModelError(
                    f"output {name!r} of shape {output.shape} has no batch axis: run it from Python"
                )
    except DeviceError:
        raise  # nothing after it would run either
    except CnncError as error:
        return Failure(item.name, type(error)(f"{item.name}: {error}"))
    return Result(item.name, {name: output[0] for name, output in outputs.items()})
