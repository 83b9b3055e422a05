"""Example inputs and dynamic axes, from what the command line says or the zoo knows."""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnc.source import Source, load_attribute, users_code
from cnnc.torch_extra import require_torch
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UnsupportedModelError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["check_fits", "example_for", "from_factory", "parse_dynamic", "parse_ranges", "parse_shapes"]

_SIZE = re.compile(r" *0*[1-9][0-9]{0,8} *")
_WIDE = 8  # bytes of a value: what is proved is computed in float64


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`["x:1,3,224,224"]` or `["1x3x224x224"]` -> shapes by input name; the name is "" where none is given.

    Raises:
        UsageError: not a list of positive sizes, or an input given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition(":")
        parts = re.split(r"[,x]", sizes.strip())
        if not all(_SIZE.fullmatch(part) for part in parts):
            raise UsageError(f"--input-shape {text}: give sizes from 1 to 999999999, as in x:1,3,224,224")
        if name in shapes:
            raise UsageError(f"--input-shape {text}: the shape of {name or 'the input'} is given twice")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def parse_dynamic(texts: Sequence[str]) -> dict[str, dict[int, str]]:
    """`["x:0=batch", "x:2=height"]` -> `{"x": {0: "batch", 2: "height"}}`.

    Raises:
        UsageError: not of that form, or an axis given twice.
    """
    axes: dict[str, dict[int, str]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+):(\d+)=([A-Za-z_]\w*)", text.strip())
        if match is None:
            raise UsageError(f"--dynamic {text}: give input:axis=name, as in x:0=batch")
        name, axis, axis_name = match.groups()
        if int(axis) in axes.setdefault(name, {}):
            raise UsageError(f"--dynamic {text}: the axis is given twice")
        axes[name][int(axis)] = axis_name
    return axes


def parse_ranges(texts: Sequence[str]) -> dict[str, tuple[float, float]] | tuple[float, float] | None:
    """`["0,1"]` -> one range for every input; `["x:-1,1"]` -> by name; None of no texts.

    Raises:
        UsageError: not of that form.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, _, numbers = text.rpartition(":")
        try:
            low, high = map(float, numbers.split(","))
        except ValueError as error:
            raise UsageError(f"--input-range {text}: give the lowest and the highest value, as in 0,1") from error
        ranges[name] = (low, high)
    if "" in ranges and len(ranges) > 1:
        raise UsageError("--input-range: name the input of each range, as in x:0,1")
    return ranges.get("") or ranges or None


def example_for(
    source: Source, *, shapes: Sequence[str] = (), factory: str | None = None
) -> dict[str, Any] | Sequence[Any] | torch.Tensor:
    """The example inputs to trace `source.module` with.

    Args:
        source: a source with a module.
        shapes: `--input-shape` texts; float32 inputs of seeded N(0, 1) are made from them.
        factory: `file.py:function` that returns the example: a tensor, a tuple or a dict.

    Raises:
        UsageError: neither says what the inputs are, or a name is not an input.
        InvalidInputError: the factory fails.
    """
    assert source.module is not None
    if factory is not None:
        if shapes:
            raise UsageError("--example and --input-shape both say what the inputs are: give one of them")
        given: dict[str, Any] | Sequence[Any] | torch.Tensor = from_factory(factory)
        return given
    parsed, others = parse_shapes(shapes), {}
    if not parsed:
        if source.input_shape is None:
            raise UsageError(f"{source.name} does not say its input's shape: give --input-shape, e.g. 1,3,224,224")
        parsed = {"": (1, *source.input_shape)}
        others = {name: (1, *shape) for name, shape in source.other_inputs}
    names = _input_names(source.module, parsed) | others
    for name, shape in names.items():
        check_fits(f"input {name!r}", shape)
    return {name: _random(shape) for name, shape in names.items()}


def check_fits(what: str, shape: Sequence[int]) -> None:
    """Raise ResourceLimitError if a value of `shape`, in float64, is more than this machine's memory."""
    size = _WIDE * math.prod(shape)
    if size > _memory():
        shown = "x".join(map(str, shape))
        raise ResourceLimitError(f"{what} of {shown} takes {size / 2**30:,.0f} GiB in float64: give a smaller size")


def from_factory(spec: str) -> Any:
    """The example that `file.py:function` (or a value of that name) gives: a tensor, a sequence or a dict of them.

    Raises:
        InvalidInputError: it fails, or gives anything else.
    """
    require_torch("--example")
    import torch

    function = load_attribute(spec)
    with users_code(f"--example {spec}"):
        example = function() if callable(function) else function
    values = list(example.values()) if isinstance(example, Mapping) else example
    values = [values] if isinstance(values, torch.Tensor) else values
    if not isinstance(values, (list, tuple)) or not any(isinstance(value, torch.Tensor) for value in values):
        inside = f" of {type(values[0]).__name__}" if isinstance(values, (list, tuple)) and values else ""
        raise InvalidInputError(
            f"--example {spec} gave a {type(example).__name__}{inside}: give a tensor for each input of forward, "
            "alone, in a tuple, or in a dict by name"
        )
    return example


def _input_names(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    parameters = list(inspect.signature(module.forward).parameters)
    if not parameters:
        raise UnsupportedModelError(f"{type(module).__name__}.forward takes no input: there is nothing to compile")
    if "" in shapes:
        if len(shapes) > 1:
            raise UsageError(f"several inputs: name each --input-shape, as in {parameters[0]}:1,3,224,224")
        return {parameters[0]: shapes[""]}
    for name in shapes:
        if name not in parameters:
            raise UsageError(f"--input-shape: no input is named {name!r}; forward has {', '.join(parameters)}")
    return dict(shapes)


def _random(shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _memory() -> int:
    """Bytes of the machine's memory; where the system does not say (Windows), more than any has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**44
