"""What travels through the pipeline: tasks, items, failures; and how files are to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import CnncError, UsageError
from cnnc_runtime.pipeline.sampling import Sampling

__all__ = ["Failure", "Item", "Reading", "Task"]


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


@dataclass(frozen=True)
class Task:
    """What can be decoded on its own, in any thread: `load` gives `count` items, and may raise a CnncError."""

    name: str
    count: int
    load: Callable[[], list[Item | Failure]]


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        every: of a video, each frame whose number is a multiple of it.
        column: of a Parquet file, the column with the images; if None, the only one that can be it.
        timeout: seconds to decode one item, or to reach the next one of a file; for ever if None.
        sampling: of a video, for a net that takes clips: which frames; what the net and its artifact say if None.
        flow_out: the folder for pictures of the optical flow that a net is fed, of each sample's name; none if None.

    Raises:
        UsageError: a number is not positive.
    """

    every: int = 1
    column: str | None = None
    timeout: float | None = None
    sampling: Sampling | None = None
    flow_out: Callable[[str], Path] | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"`every` is {self.every}: at least 1")
        if self.timeout is not None and not self.timeout > 0:
            raise UsageError(f"`timeout` is {self.timeout}: more than 0 seconds")
