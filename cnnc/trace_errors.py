"""Why torch.export could not trace a network, in terms of the user's own code."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError

__all__ = ["first_line", "trace_error"]


def trace_error(module: nn.Module, arguments: Mapping[str, Any], error: Exception) -> CnncError:
    """What to raise for `error`: the fault of the network's code, of its inputs, or of what can be traced."""
    name = type(module).__name__
    if "specialized it to be a constant" in str(error):
        reason = next(line for line in str(error).splitlines() if "specialized it" in line)
        axis = reason.partition("You marked ")[2].partition(" as dynamic")[0] or "batch"
        return UnsupportedModelError(
            f"{name}.forward works at one size of axis {axis!r} only: use x.shape instead of a number in "
            "view/reshape, or compile with --static"
        )
    where = _location(error)
    failure = _eager_failure(module, arguments)
    if failure is not None:
        shapes = ", ".join(
            f"{key} {'x'.join(map(str, x.shape))}" for key, x in arguments.items() if isinstance(x, torch.Tensor)
        )
        return InvalidInputError(f"{name} itself fails on {shapes}{_location(failure)}: {first_line(failure)}")
    return UnsupportedModelError(f"torch.export cannot trace {name}{where}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _eager_failure(module: nn.Module, arguments: Mapping[str, Any]) -> Exception | None:
    try:
        with torch.no_grad():
            module(**copy.deepcopy(dict(arguments)))
    except Exception as error:
        return error
    return None


def _location(error: BaseException) -> str:
    """` at file:line, `code``, of the innermost frame that is neither PyTorch's nor ours; else nothing."""
    libraries = (Path(torch.__file__).parent, Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(lib in Path(frame.filename).parents for lib in libraries)
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno}, `{frames[-1].line}`" if frames else ""
