"""The options that say which input takes optical flow, and what of it; and where `cnnc run` draws it."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cnnc_runtime import Preprocessing
    from cnnc_runtime.flow import FlowInput

__all__ = ["FLOW_OPTIONS", "flow_folders", "flow_from"]

FLOW_OPTIONS = (
    click.option("--flow-input", metavar="NAME", help="The input that takes optical flow; the other takes frames."),
    # The choices are those of cnnc_runtime.flow, which would load numpy for `--help`
    click.option("--flow-method", type=click.Choice(["dis", "farneback", "tvl1"]), help="Of OpenCV (default: dis)."),
    click.option("--flow-bound", type=float, metavar="PX", help="Clip displacements to this (default: 20 pixels)."),
    click.option(
        "--flow-values",
        type=click.Choice(["pixels", "unit", "centered"]),
        help="Of the 8-bit flow: in pixels again (default), -1..1, or less 128.",
    ),
    click.option("--flow-subtract-mean", is_flag=True, default=None, help="Of each field, against camera motion."),
)

_FIELDS = {
    "flow_input": "name",
    "flow_method": "method",
    "flow_bound": "bound",
    "flow_values": "values",
    "flow_subtract_mean": "subtract_mean",
}


def flow_from(options: MutableMapping[str, Any]) -> FlowInput | None:
    """Take the options out of a command's keyword arguments; None where none was given.

    Raises:
        click.BadParameter: no input is named, or the bound is no length.
    """
    taken = {option: options.pop(option, None) for option in _FIELDS}
    given = {_FIELDS[option]: value for option, value in taken.items() if value is not None}
    if not given:
        return None
    if "name" not in given:
        raise click.BadParameter("name the input that takes the flow", param_hint="--flow-input")
    from cnnc_runtime.errors import UsageError
    from cnnc_runtime.flow import FlowInput

    try:
        return FlowInput(**given)
    except UsageError as error:
        raise click.BadParameter(str(error), param_hint="flow") from error


def flow_folders(
    folder: Path | None, prepare: Preprocessing | None, names: Sequence[str]
) -> Callable[[str], Path] | None:
    """What names the folder of each sample's pictures in the one that --flow-out names, made; None without it.

    Args:
        folder: of --flow-out.
        prepare: of the artifact.
        names: of all files of the run.

    Raises:
        UsageError: the net takes no flow.
        OutputError: the folder cannot be made.
    """
    if folder is None:
        return None
    from cnnc_runtime.errors import OutputError, UsageError

    if prepare is None or prepare.flow is None:
        raise UsageError("--flow-out is for nets that take optical flow: compile with --flow-input")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    from cnnc_runtime.maps.picture_files import PictureFiles

    return PictureFiles(folder, names).folder
