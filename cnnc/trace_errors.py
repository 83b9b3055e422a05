"""Why torch.export could not trace a network, in terms of the user's own code."""

from __future__ import annotations

import copy
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError

__all__ = ["first_line", "location", "trace_error"]

# What PyTorch says of an index, or of a network in half or double precision, that is fed float32.
_WRONG_TYPE = re.compile(r"scalar type|dtype|LongTensor|must be long|type \(float\)")


def trace_error(
    module: nn.Module, given: Mapping[str, Any], arguments: Mapping[str, Any], error: Exception
) -> CnncError:
    """What to raise for `error`: the fault of the network's code, of its inputs, or of what can be traced.

    Args:
        module: the network.
        given: the example, as it was given.
        arguments: the example, as it was traced: open axes of size 1 are 2.
        error: what torch.export raised.
    """
    name, text = type(module).__name__, str(error)
    if "specialized it to be a constant" in text:
        reason = next(line for line in text.splitlines() if "specialized it" in line)
        return _one_size(name, reason.partition("You marked ")[2].partition(" as dynamic")[0] or "batch")
    if "Constraints violated" in text:
        return UnsupportedModelError(
            f"{name}.forward does not treat all sizes alike: {_violated(text)}; fix that axis (--dynamic names the "
            "open ones, --static none), or write forward without a branch on its size"
        )
    failure = _eager_failure(module, arguments)
    if failure is None:
        return UnsupportedModelError(f"torch.export cannot trace {name}{location(error)}: {first_line(error)}")
    widened = next(
        (
            f"{key}:{axis}"
            for key, x in arguments.items()
            if isinstance(x, torch.Tensor)
            for axis, size in enumerate(x.shape)
            if size != given[key].shape[axis]
        ),
        None,
    )
    if widened is not None and _eager_failure(module, given) is None:
        return _one_size(name, widened)
    shapes = ", ".join(
        f"{key} {'x'.join(map(str, x.shape))}" for key, x in arguments.items() if isinstance(x, torch.Tensor)
    )
    way_out = "; inputs of another type than float32 come from --example" if _WRONG_TYPE.search(str(failure)) else ""
    return InvalidInputError(f"{name} itself fails on {shapes}{location(failure)}: {first_line(failure)}{way_out}")


def _one_size(name: str, axis: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{name}.forward works at one size of axis {axis!r} only: use x.shape instead of a number in "
        "view/reshape, or compile with --static"
    )


def _violated(text: str) -> str:
    """The first constraint of torch.export's list, in the axes' own names."""
    line = next((line.strip(" -.") for line in text.splitlines() if line.startswith("  - ")), text.splitlines()[0])
    for axis, size in re.findall(r"(\w+) = (L\[\S+?\.size\(\)\[\d+\])", line):
        line = line.replace(f"{axis} = {size}", axis).replace(size, axis)
    line = re.sub(r" and \w+ <= IntInfinity\(\)", "", line)
    return re.sub(r"^Not all values .* satisfy the generated guard (.+)$", r"it was traced for \1", line)


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


def location(error: BaseException) -> str:
    """` at file:line, `code``, of the innermost frame that is neither PyTorch's nor ours; else nothing."""
    libraries = (Path(torch.__file__).parent, Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(lib in Path(frame.filename).parents for lib in libraries)
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno}, `{frames[-1].line}`" if frames else ""
