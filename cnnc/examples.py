"""Example inputs and dynamic axes, from what the command line says or the zoo knows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnc.source import Source, load_attribute
from cnnc_runtime.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["example_for", "parse_dynamic", "parse_ranges", "parse_shapes"]


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`["x:1,3,224,224"]` or `["1x3x224x224"]` -> shapes by input name; the name is "" where none is given.

    Raises:
        UsageError: not a list of positive sizes, or an input given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition(":")
        parts = re.split(r"[,x]", sizes.strip())
        if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            raise UsageError(f"--input-shape {text}: give sizes of at least 1, as in x:1,3,224,224")
        if name in shapes:
            raise UsageError(f"--input-shape {text}: the shape of {name or 'the input'} is given twice")
        shapes[name] = tuple(int(part) for part in parts)
    return shapes


def parse_dynamic(texts: Sequence[str]) -> dict[str, dict[int, str]]:
    """`["x:0=batch", "x:2=height"]` -> `{"x": {0: "batch", 2: "height"}}`.

    Raises:
        UsageError: not of that form.
    """
    axes: dict[str, dict[int, str]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w+):(\d+)=([A-Za-z_]\w*)", text.strip())
        if match is None:
            raise UsageError(f"--dynamic {text}: give input:axis=name, as in x:0=batch")
        name, axis, axis_name = match.groups()
        axes.setdefault(name, {})[int(axis)] = axis_name
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
        given: dict[str, Any] | Sequence[Any] | torch.Tensor = _from_factory(factory)
        return given
    parsed = parse_shapes(shapes)
    if not parsed:
        if source.input_shape is None:
            raise UsageError(f"{source.name} does not say its input's shape: give --input-shape, e.g. 1,3,224,224")
        parsed = {"": (1, *source.input_shape)}
    names = _input_names(source.module, parsed)
    return {name: _random(shape) for name, shape in names.items()}


def _from_factory(spec: str) -> Any:
    import torch

    function = load_attribute(spec)
    example = function() if callable(function) else function
    values = list(example.values()) if isinstance(example, Mapping) else example
    values = [values] if isinstance(values, torch.Tensor) else values
    if not isinstance(values, (list, tuple)) or not any(isinstance(value, torch.Tensor) for value in values):
        raise InvalidInputError(f"--example {spec} gave a {type(example).__name__}, not tensors")
    return example


def _input_names(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    parameters = list(inspect.signature(module.forward).parameters)
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
