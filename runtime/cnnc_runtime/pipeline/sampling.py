"""Which frames of a video are a clip: how many, how far apart, and where clips begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnc_runtime.errors import UsageError

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """Clips of `length` frames, `stride` frames of the video from one to the next.

    Attributes:
        length: frames of a clip: the net's T.
        stride: 1 takes neighbouring frames, 2 every second one.
        clips: of each video at most, spread evenly over it; None for all, one after the other.

    Raises:
        UsageError: a number is not positive.
    """

    length: int
    stride: int = 1
    clips: int | None = 1

    def __post_init__(self) -> None:
        for name in ("length", "stride", "clips"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` is {value}: at least 1")

    @property
    def span(self) -> int:
        """Frames of the video from a clip's first to its last, both counted."""
        return (self.length - 1) * self.stride + 1

    def starts(self, frames: int) -> Sequence[int]:
        """Where the clips of a video of that many frames begin, ascending; a shorter one than `span` has one, at 0.

        One clip lies in the middle; several lie from the first to the last place that holds a clip, evenly, to the
        nearest frame (halves to even), as MMAction2's SampleFrames has it in test mode; where that names a place
        twice, it counts once. All clips follow each other every length * stride frames, and what is left at the
        end, too short for a clip, is left out, as PyTorchVideo's UniformClipSampler does.
        """
        last = max(frames - self.span, 0)
        if self.clips is None:
            return range(0, last + 1, self.length * self.stride)
        if self.clips == 1:
            return [last // 2]
        return list(dict.fromkeys(round(index * last / (self.clips - 1)) for index in range(self.clips)))

    def frames(self, start: int) -> range:
        """The numbers of the frames of the clip that begins at `start`."""
        return range(start, start + self.length * self.stride, self.stride)
