"""The options that say how an image becomes the input: --preprocess, --size, --mean and their like."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cnnc.cli.flow_options import FLOW_OPTIONS, flow_from

if TYPE_CHECKING:
    from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["preprocessing_from", "preprocessing_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}: give numbers, such as 0.485,0.456,0.406", context, option) from None


def _sides(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if re.fullmatch(r"\d+([,x]\d+)?", text) is None:
        raise click.BadParameter(f"{text!r}: give pixels, N or HEIGHT,WIDTH", context, option)
    return tuple(int(part) for part in re.split("[,x]", text))


def _fill(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise click.BadParameter(f"{text!r}: give 8-bit values, such as 114 or 114,114,114", context, option)
    return tuple(map(int, text.split(",")))


_OPTIONS = (
    # The names of cnnc_runtime.preprocessing.PRESETS, which would load numpy for `--help`
    click.option(
        "--preprocess",
        type=click.Choice(["imagenet", "unit", "symmetric", "kinetics"]),
        help="imagenet: shorter side 256, crop 224, its mean and std; unit: 0..1; symmetric: -1..1; "
        "kinetics: of clips, 128x171, crop 112. "
        "Images are resized to the input unless --size or --crop says otherwise.",
    ),
    click.option("--size", callback=_sides, metavar="N|H,W", help="Resize: shorter side N, or exactly H,W."),
    click.option("--crop", callback=_sides, metavar="N|H,W", help="Cut this from the center, after resizing."),
    click.option(
        "--interpolation",
        type=click.Choice(["bilinear", "bicubic", "nearest"]),
        help="How to resize (default: bilinear); all as Pillow, the first two with antialiasing.",
    ),
    click.option(
        "--letterbox", is_flag=True, default=None, help="Keep the aspect inside --size H,W (or the input), bars around."
    ),
    click.option("--fill", callback=_fill, metavar="A|A,B,C", help="8-bit value of bars and padding (default: 0)."),
    click.option("--scale", type=float, metavar="F", help="Multiply the 8-bit values (default: 1/255)."),
    click.option("--mean", callback=_numbers, metavar="A,B,C", help="Subtract, after scaling: one, or one a channel."),
    click.option("--std", callback=_numbers, metavar="A,B,C", help="Divide by: one, or one a channel."),
    click.option("--color", type=click.Choice(["rgb", "bgr", "gray"]), help="Channel order (default: rgb)."),
    click.option(
        "--clip-stride", type=click.IntRange(1, 65535), metavar="N", help="Of clips, every Nth frame (default: 1)."
    ),
    *FLOW_OPTIONS,
)

# Of options that are fields as given
_NAMES = ("interpolation", "letterbox", "fill", "scale", "mean", "std", "color", "clip_stride")


def preprocessing_options(command: Command) -> Command:
    """Add the options to a click command; `preprocessing_from` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def preprocessing_from(options: MutableMapping[str, Any]) -> Preprocessing | None:
    """Take the options out of a command's keyword arguments; None where none was given.

    An option given beside --preprocess replaces that field of the preset.

    Raises:
        click.BadParameter: their values do not go together.
    """
    names = (*_NAMES, "preprocess", "size", "crop")
    given, flow = {name: options.pop(name, None) for name in names}, flow_from(options)
    if flow is None and all(value is None for value in given.values()):
        return None
    import dataclasses

    from cnnc_runtime.errors import UsageError
    from cnnc_runtime.preprocessing import PRESETS

    fields: dict[str, Any] = {name: given[name] for name in _NAMES if given[name] is not None}
    fields["flow"] = flow
    if given["letterbox"]:
        fields |= {"resize": None, "crop": None}  # it says where the whole image goes: a preset's do not count
    if given["size"] is not None:
        fields["resize"] = given["size"] if len(given["size"]) == 2 else given["size"][0]
    if given["crop"] is not None:
        fields["crop"] = given["crop"] if len(given["crop"]) == 2 else given["crop"] * 2
    try:
        return dataclasses.replace(PRESETS[given["preprocess"] or "unit"], **fields)
    except UsageError as error:
        raise click.BadParameter(str(error), param_hint="preprocessing") from error
