"""The options of `cnnc run` that say which frames of a video a clip is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cnnc_runtime import Preprocessing, TensorSpec
    from cnnc_runtime.pipeline.sampling import Sampling

__all__ = ["clip_batch", "clip_options", "sampling_from"]

Command = TypeVar("Command", bound=Callable[..., Any])

_BATCH_BYTES = 32 * 2**20  # of clips that are run at once; more of them are held ready
_LARGEST_BATCH = 8


class _Count(click.ParamType[int]):
    """`10`, or 0 for `all`."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "all":
            return 0
        if not str(value).isdecimal() or not 1 <= int(value) <= 65535:
            self.fail(f"{value!r}: give how many clips of each video (1 to 65535), or all", param, ctx)
        return int(value)


_OPTIONS = (
    click.option("--clips", type=_Count(), metavar="N|all", help="Clips of a video (default: 1, from its middle)."),
    click.option(
        "--clip-stride",
        type=click.IntRange(1, 65535),
        metavar="N",
        help="Every Nth frame is in a clip (default: as the artifact says, else 1).",
    ),
    click.option("--clip-length", type=click.IntRange(1, 65535), metavar="N", help="Frames, where the net takes any."),
)


def clip_options(command: Command) -> Command:
    """Add the options to a click command; `sampling_from` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def sampling_from(
    choices: Mapping[str, Any], inputs: Sequence[TensorSpec], prepare: Preprocessing | None, every: int
) -> Sampling | None:
    """What the options say, for a net of these inputs; None for one that takes no clips.

    Raises:
        UsageError: they do not go with the net, or --every does not.
    """
    from cnnc_runtime.errors import UsageError
    from cnnc_runtime.pipeline.clips import sampling_for, takes_clips

    given = [name for name, value in choices.items() if value is not None]
    if prepare is not None and prepare.flow is not None:
        return _flow_sampling(choices, inputs, prepare, every)
    if not takes_clips(inputs):
        if given:
            shapes = ", ".join(str(spec) for spec in inputs)
            option = given[0].replace("_", "-")
            raise UsageError(f"--{option} is for nets that take clips (N, C, T, H, W), this one takes {shapes}")
        return None
    if every != 1:
        raise UsageError(f"--every is for nets that take single frames, this one takes clips: --clip-stride {every}")
    if "clip_length" not in given and not isinstance(inputs[0].shape[2], int):
        return None  # it may be arrays that are run
    clips = choices["clips"]
    return sampling_for(
        inputs[0],
        prepare,
        length=choices["clip_length"],
        stride=choices["clip_stride"],
        clips=1 if clips is None else clips or None,
    )


def _flow_sampling(
    choices: Mapping[str, Any], inputs: Sequence[TensorSpec], prepare: Preprocessing, every: int
) -> Sampling:
    """For a net that takes frames and their optical flow, whose number it fixes."""
    from cnnc_runtime.errors import UsageError
    from cnnc_runtime.pipeline.two_stream import flow_sampling

    if choices["clip_length"] is not None or every != 1:
        option = "--clip-length" if choices["clip_length"] is not None else "--every"
        raise UsageError(f"{option}: this net's optical flow says how many frames: --clips N, --clip-stride N")
    clips = choices["clips"]
    return flow_sampling(inputs, prepare, stride=choices["clip_stride"], clips=1 if clips is None else clips or None)


def clip_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """How many clips to run at once where nobody said: 8, but no more than 32 MiB of them; None for other nets."""
    clips = [spec for spec in inputs if len(spec.shape) == 5]
    if not clips or any(isinstance(spec.shape[0], int) for spec in clips):
        return None
    sizes = (
        math.prod(side for side in spec.shape[1:] if isinstance(side, int)) * spec.dtype.itemsize for spec in clips
    )
    return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // sum(sizes)))
