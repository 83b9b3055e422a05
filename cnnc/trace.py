"""torch.export with open axes: every size that the network takes, not only those that the tracer prefers."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx.experimental import _config

from cnnc.trace_errors import trace_error
from cnnc_runtime.errors import CnncError

__all__ = ["trace"]

Axes = Mapping[str, Mapping[int, str]]

_GUARD = "the generated guard"


def trace(
    module: nn.Module, given: Mapping[str, Any], axes: Axes
) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """Trace `module`, in eval mode, with `axes` open.

    torch.export takes 1 for a size of its own, so it refuses an axis where any value inside would come to 1, as
    behind a kernel without padding or a stride. Then it is asked to take 1 for a size like others (ONNX broadcasts
    when it runs), and to begin each axis at the size where the network itself begins to work.

    Args:
        module: the network.
        given: its arguments. An open axis of size 1 is traced at 2, since 1 would become a constant.
        axes: the axes that vary, by argument and index, with their names.

    Returns:
        the program, and the `dynamic_shapes` that it was traced with.

    Raises:
        UnsupportedModelError, InvalidInputError: as `trace_error` says.
    """
    arguments = {name: _widen(value, axes.get(name, {})) for name, value in given.items()}
    try:
        return _export(module, arguments, axes, {})
    except CnncError:
        raise
    except Exception as error:
        if _GUARD not in str(error):
            raise trace_error(module, given, arguments, error) from error
    with _config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        try:
            return _export(module, arguments, axes, {})
        except Exception as error:
            least = _least_sizes(error)
            if not least or any(_takes(module, arguments, axes, name, size - 1) for name, size in least.items()):
                raise trace_error(module, given, arguments, error) from error
        try:
            return _export(module, arguments, axes, least)
        except Exception as error:
            raise trace_error(module, given, arguments, error) from error


def _export(
    module: nn.Module, arguments: dict[str, Any], axes: Axes, least: Mapping[str, int]
) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    names = {axis_name for named in axes.values() for axis_name in named.values()}
    dims = {name: torch.export.Dim(name, min=least.get(name)) for name in names}
    shapes = {
        name: {axis: dims[axis_name] for axis, axis_name in axes[name].items()} if name in axes else None
        for name in arguments
    }
    return torch.export.export(module, (), arguments, dynamic_shapes=shapes, strict=False), shapes


def _widen(value: Any, axes: Mapping[int, str]) -> Any:
    for axis in axes:
        if value.shape[axis] == 1:
            value = value.repeat_interleave(2, axis)
    return value


def _least_sizes(error: Exception) -> dict[str, int]:
    """`{"h": 8}`, where torch.export asks for nothing else than a least size of some axes; else nothing."""
    asked = str(error).partition("Suggested fixes:\n")[2].partition("\n\n")[0].splitlines()
    found = [re.fullmatch(r"\s*(\w+) = Dim\('\w+', min=(\d+)\)\s*", line) for line in asked]
    return {match[1]: int(match[2]) for match in found if match} if all(found) else {}


def _takes(module: nn.Module, arguments: Mapping[str, Any], axes: Axes, axis_name: str, size: int) -> bool:
    """Whether the network itself runs with one axis cut to `size`: then it treats larger ones differently."""
    cut = {
        name: value.narrow(next(a for a, symbol in axes[name].items() if symbol == axis_name), 0, size)
        if axis_name in axes.get(name, {}).values()
        else value
        for name, value in arguments.items()
    }
    try:
        module(**copy.deepcopy(cut))
    except Exception:
        return False
    return True
