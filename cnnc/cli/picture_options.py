"""The options of `cnnc run` that draw: --mask-out for segmentation nets, --heat-out for classifiers that slide, and
--explain-out for artifacts with a heat map.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cnnc_runtime import Engine, Preprocessing
    from cnnc_runtime.maps.drawing import Draw

__all__ = ["Pictures", "class_for", "draws_for", "picture_options", "pictures_from"]

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--mask-out", type=click.Path(path_type=Path), metavar="DIR", help="Write a mask of each picture."),
    click.option(
        "--mask-size",
        type=click.Choice(["image", "net"]),
        help="Its size: the picture's (default), or as the net gives it.",
    ),
    click.option("--heat-out", type=click.Path(path_type=Path), metavar="DIR", help="Write where a class scores high."),
    click.option("--explain-out", type=click.Path(path_type=Path), metavar="DIR", help="Write what spoke for a class."),
    click.option("--class", "heat_class", metavar="N|LABEL", help="Of heat maps (default: each picture's top class)."),
)


@dataclass(frozen=True)
class Pictures:
    """What is to be drawn of each result; nothing by default."""

    mask_out: Path | None = None
    mask_size: str | None = None
    heat_out: Path | None = None
    heat_class: str | None = None
    explain_out: Path | None = None

    def __str__(self) -> str:
        named = {"--mask-out": self.mask_out, "--mask-size": self.mask_size, "--heat-out": self.heat_out}
        named["--explain-out"] = self.explain_out
        return " ".join(f"{k} {v}" for k, v in {**named, "--class": self.heat_class}.items() if v is not None)


def picture_options(command: Command) -> Command:
    """Add the options to a click command; `pictures_from` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def pictures_from(options: MutableMapping[str, Any]) -> Pictures:
    """Take the options out of a command's keyword arguments.

    Raises:
        UsageError: one says how to draw what is not to be drawn, or both folders are the same.
    """
    from cnnc_runtime.errors import UsageError

    names = ("mask_out", "mask_size", "heat_out", "heat_class", "explain_out")
    asked = Pictures(**{name: options.pop(name) for name in names})
    if asked.mask_size is not None and asked.mask_out is None:
        raise UsageError("--mask-size is of masks: say where they go, --mask-out DIR")
    folders = {"--mask-out": asked.mask_out, "--heat-out": asked.heat_out, "--explain-out": asked.explain_out}
    given = [(option, folder) for option, folder in folders.items() if folder is not None]
    for index, (option, folder) in enumerate(given):
        for other, same in given[:index]:
            if same == folder:
                raise UsageError(f"{other} and {option} are the same folder, and would overwrite each other: name two")
    return asked


def draws_for(
    asked: Pictures, engine: Engine, names: Sequence[str], prepare: Preprocessing | None, labels: Sequence[str]
) -> list[Draw]:
    """What draws each result; its folders are made.

    Raises:
        UnsupportedModelError: the net has no output that could be drawn.
        UsageError: there is no such class, or no heat map of what is to be explained.
        OutputError: a folder cannot be made.
    """
    if asked.explain_out is not None:
        from cnnc_runtime.maps.explained import draw_explanation, explanation_of
        from cnnc_runtime.maps.picture_files import PictureFiles

        explanation = explanation_of(engine)
        draw = draw_explanation(PictureFiles(_made(asked.explain_out), names), explanation, prepare)
        return [*draws_for(dataclasses.replace(asked, explain_out=None), engine, names, prepare, labels), draw]
    if asked.mask_out is None and asked.heat_out is None:
        return []
    from cnnc_runtime.maps.drawing import draw_heat, draw_masks, map_output
    from cnnc_runtime.maps.heat import class_index
    from cnnc_runtime.maps.picture_files import PictureFiles
    from cnnc_runtime.maps.windows import Windows

    output = map_output(engine.outputs)
    classes = next(spec.shape[1] for spec in engine.outputs if spec.name == output)
    fitting = labels if len(labels) == classes else ()
    if asked.heat_class is not None and isinstance(classes, int):
        class_index(asked.heat_class, classes, fitting)
    draws = []
    if asked.mask_out is not None:
        files = PictureFiles(_made(asked.mask_out), names)
        draws.append(draw_masks(files, output, prepare, of_picture=asked.mask_size != "net"))
    if asked.heat_out is not None:
        files = PictureFiles(_made(asked.heat_out), names)
        windows = Windows.of(engine.metadata)
        draws.append(draw_heat(files, output, prepare, windows, asked.heat_class, fitting))
    return draws


def class_for(asked: Pictures, engine: Engine, labels: Sequence[str]) -> int | None:
    """The class that --class asks of an artifact with a heat map; None where it takes none.

    Raises:
        UsageError: there is no such class, or nothing that it could be asked of.
    """
    from cnnc_runtime.errors import UsageError

    explanation = engine.metadata.explanation if engine.metadata is not None else None
    if explanation is not None:
        from cnnc_runtime.maps.explained import ask_class

        return ask_class(explanation, asked.heat_class, labels)
    if asked.heat_class is not None and asked.heat_out is None:
        raise UsageError("--class is of heat maps: say where they go, --heat-out DIR")
    return None


def _made(folder: Path) -> Path:
    from cnnc_runtime.errors import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    return folder
