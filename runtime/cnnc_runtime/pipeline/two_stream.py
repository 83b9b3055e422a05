"""Videos -> samples of two-stream nets: frames, and the optical flow that begins with them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError
from cnnc_runtime.flow import FlowInput, check_method, optical_flow
from cnnc_runtime.flow.pictures import write_pictures
from cnnc_runtime.pipeline.clips import sample_clips
from cnnc_runtime.pipeline.items import Failure, Item, Reading, Task
from cnnc_runtime.pipeline.sampling import Sampling
from cnnc_runtime.pipeline.video import count_decoded
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["flow_sampling", "flow_tasks"]


def flow_sampling(
    inputs: Sequence[TensorSpec], prepare: Preprocessing, *, stride: int | None = None, clips: int | None = 1
) -> Sampling:
    """Which frames of a video a sample is made of: one more than there are fields, as flow is between two.

    Args:
        inputs: one of frames, one of flow.
        prepare: with `flow`.
        stride: frames of the video from one of the sample to the next; as stored if None.
        clips: samples of a video, as of `Sampling`.

    Raises:
        UsageError: an artifact's flow does not fit its inputs, or a number is not positive.
    """
    _, spec = _parted(inputs, _flow_of(prepare))
    return Sampling(_flow_of(prepare).length(spec.shape) + 1, stride or prepare.clip_stride, clips)


def flow_tasks(file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing, reading: Reading) -> Iterator[Task]:
    """A task a sample; its frames are resized as they are decoded, its flow is computed where the task is loaded.

    A sample of `film.mp4[40:51]` holds frame 40 and the flow from 40 to 41, 41 to 42, ..., 49 to 50; of a net that
    takes clips of 10 frames, frames 40 to 49 and the same flow. What samples have in common is computed once.

    Raises:
        CnncError: as `read_frames`; the video has too few frames, or a frame cannot be prepared.
    """
    flow = _flow_of(prepare)
    check_method(flow.method)
    _parted(inputs, flow)
    sampling = reading.sampling or flow_sampling(inputs, prepare)
    whole, order = dataclasses.replace(prepare, crop=None, flow=None), itertools.count()
    for name, frames in sample_clips(file, sampling, lambda image: _Frame(next(order), _resized(file, whole, image))):
        if any(before.order >= after.order for before, after in itertools.pairwise(frames)):
            raise _too_short(file, sampling)  # it was looped, as clips are, but what moves does not jump back
        yield Task(name, 1, functools.partial(_load, name, frames, inputs, prepare, reading.flow_out))


class _Frame:
    """A frame as it was resized, and the flow from it to the next: one stride apart, so the same in every sample."""

    def __init__(self, order: int, pixels: Array) -> None:
        self.order, self.pixels = order, pixels
        self._field: NDArray[np.float32] | None = None
        self._lock = threading.Lock()  # samples that share it are loaded in several threads

    def flow_to(self, after: _Frame, prepare: Preprocessing) -> NDArray[np.float32]:
        with self._lock:
            if self._field is None:
                self._field = _field(self.pixels, after.pixels, prepare)
            return self._field


def _resized(file: Path, whole: Preprocessing, image: Image) -> Array:
    try:
        return whole.pixels(image)
    except CnncError as error:
        raise type(error)(f"{file}: {error}") from error


def _too_short(file: Path, sampling: Sampling) -> InvalidInputError:
    held, fields = count_decoded(file), sampling.length - 1
    return InvalidInputError(
        f"{file} has {held} frame{'s' * (held != 1)}, {fields} field{'s' * (fields != 1)} of flow need "
        f"{sampling.span}: give a longer video"
    )


def _load(
    name: str,
    frames: list[_Frame],
    inputs: Sequence[TensorSpec],
    prepare: Preprocessing,
    folder_of: Callable[[str], Path] | None,
) -> list[Item | Failure]:
    """The one item of a sample."""
    flow = _flow_of(prepare)
    seen, moved = _parted(inputs, flow)
    try:
        fields = [before.flow_to(after, prepare) for before, after in itertools.pairwise(frames)]
        if folder_of is not None:
            write_pictures(folder_of(name), fields, flow.bound)
        pictures = [_cropped(frame.pixels, prepare) for frame in frames[: len(fields) if len(seen.shape) == 5 else 1]]
        values = prepare.normalized(np.stack(pictures))
        feed = {
            seen.name: np.moveaxis(values, 0, 1) if len(seen.shape) == 5 else values[0],
            moved.name: flow.feed(fields, moved.shape),
        }
        specs = {spec.name: spec for spec in inputs}
        return [Item(name, {key: _conformed(specs[key], feed[key]) for key in specs})]
    except CnncError as error:
        raise type(error)(f"{name}: {error}") from error


def _field(before: Array, after: Array, prepare: Preprocessing) -> NDArray[np.float32]:
    """The flow between two frames as they were resized, cropped as they will be; where they are padded it is none."""
    from PIL import Image

    from cnnc_runtime.pixels import center_crop

    flow = _flow_of(prepare)
    field = flow.centered(optical_flow(before, after, flow.method))
    if prepare.crop is None:
        return field
    components = (Image.fromarray(np.ascontiguousarray(field[..., axis])) for axis in (0, 1))
    return np.stack([np.asarray(center_crop(one, prepare.crop)) for one in components], axis=-1)


def _cropped(frame: Array, prepare: Preprocessing) -> NDArray[np.uint8]:
    from PIL import Image

    cut = dataclasses.replace(prepare, resize=None, letterbox=False, flow=None)
    return cut.pixels(Image.fromarray(frame[..., 0] if prepare.channels == 1 else frame))


def _conformed(spec: TensorSpec, array: Array) -> Array:
    return spec.sample.conform(array.astype(spec.dtype) if spec.dtype.kind == "f" else array)


def _flow_of(prepare: Preprocessing) -> FlowInput:
    assert prepare.flow is not None
    return prepare.flow


def _parted(inputs: Sequence[TensorSpec], flow: FlowInput) -> tuple[TensorSpec, TensorSpec]:
    """The input of frames, and the one of flow.

    Raises:
        UsageError: the artifact's description of them is wrong.
    """
    names = [spec.name for spec in inputs]
    if len(names) != 2 or flow.name not in names:
        raise UsageError(f"flow is for nets of two inputs, one named {flow.name!r}; this one takes {names}")
    frames, fields = sorted(inputs, key=lambda spec: spec.name == flow.name)
    flow.check(frames.shape, fields.shape)
    return frames, fields
