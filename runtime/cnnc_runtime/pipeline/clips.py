"""Clips of videos: `length` frames, `stride` apart, as 3-D CNNs take them, (C, T, H, W)."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError
from cnnc_runtime.pipeline.items import Failure, Item, Reading, Task
from cnnc_runtime.pipeline.pictures import load_prepared
from cnnc_runtime.pipeline.sampling import Sampling
from cnnc_runtime.pipeline.video import count_decoded, count_frames, is_count_exact, read_chosen
from cnnc_runtime.preprocessing import Preprocessing, assumed_for
from cnnc_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["clip_tasks", "count_clips", "read_clips", "sample_clips", "sampling_for", "takes_clips"]

Frame = TypeVar("Frame")


def read_clips(file: Path, length: int, stride: int = 1, clips: int | None = 1) -> Iterator[tuple[str, list[Image]]]:
    """(name, RGB pictures) of each clip of a video, turned upright; where they lie says `Sampling`.

    A clip is called `film.mp4[40:72:2]`, as Python names those frames. A video too short for one clip is looped: its
    frames follow each other again and again, as in Carreira and Zisserman, Quo Vadis, Action Recognition?, 2017, 2.5.

    Args:
        file: the video.
        length: frames of a clip.
        stride: frames of the video from one of the clip to the next.
        clips: of the video at most, spread evenly over it; None for all, one after the other.

    Raises:
        CnncError: as `read_frames`.
        UsageError: a number is not positive.
    """
    return sample_clips(file, Sampling(length, stride, clips), lambda image: image)


def sample_clips(
    file: Path, sampling: Sampling, prepare: Callable[[Image], Frame]
) -> Iterator[tuple[str, list[Frame]]]:
    """As `read_clips`, of what `prepare` makes of each picture: the pictures themselves need not stay in memory.

    The video is decoded from its beginning: seeking is inexact in many formats. Where its number of frames is an
    estimate (Matroska, WebM, MPEG) and clips are spread over it, or where it is too short, it is decoded once more,
    to count them. A frame that several clips share is prepared once, and held until the last of them is out.

    Raises:
        CnncError: as `read_frames`, and what `prepare` raises.
    """
    total = count_frames(file) if sampling.clips is None or is_count_exact(file) else 0
    if total < sampling.span:
        total = count_decoded(file)
    done = 0
    while total >= sampling.span:
        starts = sampling.starts(total)[done:]
        for start, frames in _whole_clips(file, starts, sampling, prepare):
            yield _name(file, start, sampling), frames
            done += 1
        if done >= (1 if sampling.clips is None else len(sampling.starts(total))):
            return
        claimed, total = total, count_decoded(file)  # it claimed a few more than it has
        if total >= claimed:
            raise InvalidInputError(f"{file} cannot be decoded to its end: get a whole copy of it")
    if done:
        return
    looped = [number % total for number in sampling.frames(0)]
    wanted = frozenset(looped)
    kept = {number: prepare(image) for number, image in read_chosen(file, wanted.__contains__)}
    if len(kept) < len(wanted):
        raise InvalidInputError(f"{file} cannot be decoded to its end: get a whole copy of it")
    yield _name(file, 0, sampling), [kept[number] for number in looped]


def _whole_clips(
    file: Path, starts: Iterable[int], sampling: Sampling, prepare: Callable[[Image], Frame]
) -> Iterator[tuple[int, list[Frame]]]:
    """(start, frames) of each clip as far as the file has its frames; of all clips, those beyond its claim too."""
    wanted: Container[int]
    if sampling.clips is None:
        wanted = range(0, sys.maxsize, sampling.stride)
        upcoming: Iterator[int] = itertools.count(0, sampling.length * sampling.stride)
    else:
        wanted = frozenset(itertools.chain.from_iterable(map(sampling.frames, starts)))
        upcoming = iter(starts)
    start = next(upcoming, None)
    kept: dict[int, Frame] = {}
    for number, image in read_chosen(file, wanted.__contains__):
        kept[number] = prepare(image)
        if start is not None and number == sampling.frames(start)[-1]:
            yield start, [kept[one] for one in sampling.frames(start)]
            start = next(upcoming, None)
            if start is None:
                return
            kept = {one: frame for one, frame in kept.items() if one >= start}


def _name(file: Path, start: int, sampling: Sampling) -> str:
    stop = start + sampling.length * sampling.stride
    return f"{file}[{start}:{stop}:{sampling.stride}]" if sampling.stride > 1 else f"{file}[{start}:{stop}]"


def takes_clips(inputs: Iterable[TensorSpec]) -> bool:
    """Whether a net of these inputs is run on clips of a video: one input, (N, C, T, H, W)."""
    specs = list(inputs)
    return len(specs) == 1 and len(specs[0].shape) == 5


def sampling_for(
    spec: TensorSpec,
    prepare: Preprocessing | None,
    *,
    length: int | None = None,
    stride: int | None = None,
    clips: int | None = 1,
) -> Sampling:
    """What a net with the input `spec` is given: its own length, and the stride that its artifact stores.

    Args:
        spec: an input (N, C, T, H, W).
        prepare: the artifact's.
        length: where the net leaves T open.
        stride, clips: as of `Sampling`; the stored stride, which is 1 where nobody said, if None.

    Raises:
        UsageError: a number is not positive, T is open and no length given, or the length is not T.
    """
    frames = spec.shape[2]
    if isinstance(frames, int):
        if length not in (None, frames):
            raise UsageError(f"this net takes clips of {frames} frames, not {length}: leave --clip-length out")
        length = frames
    if length is None:
        raise UsageError(f"this net takes clips of any length ({frames}): say how many frames with --clip-length N")
    return Sampling(length, stride or (prepare.clip_stride if prepare is not None else 1), clips)


def clip_tasks(file: Path, spec: TensorSpec, prepare: Preprocessing | None, reading: Reading) -> Iterator[Task]:
    """A task a clip. Frames are resized and cropped as they are decoded, so that a task holds their pixels only.

    Raises:
        CnncError: as `sample_clips`, and where a frame cannot be prepared.
    """
    prepare = prepare or assumed_for(spec.shape)
    sampling = reading.sampling or sampling_for(spec, prepare)
    prepared = functools.partial(_pixels, file, prepare)
    for name, frames in sample_clips(file, sampling, prepared):
        yield Task(name, 1, functools.partial(_load, name, frames, spec, prepare))


def count_clips(file: Path, sampling: Sampling) -> int:
    """How many clips `sample_clips` will give, by the file's own claim.

    Raises:
        CnncError: as `read_frames`.
    """
    return len(sampling.starts(count_frames(file)))


def _pixels(file: Path, prepare: Preprocessing, image: Image) -> Array:
    try:
        return prepare.pixels(image)
    except CnncError as error:
        raise type(error)(f"{file}: {error}") from error


def _load(name: str, frames: list[Array], spec: TensorSpec, prepare: Preprocessing) -> list[Item | Failure]:
    return load_prepared(name, lambda: np.moveaxis(prepare.normalized(np.stack(frames)), 0, 1), spec, prepare)
