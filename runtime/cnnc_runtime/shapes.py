"""The shapes a net will be run on, as the caller names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnc_runtime.errors import CnncError, UsageError
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Shapes", "read_shapes", "smallest_shapes"]

Shapes = dict[str, tuple[int, ...]]


def read_shapes(given: Any, inputs: Sequence[TensorSpec]) -> list[Shapes]:
    """{input name: shape} for each that is named.

    Args:
        given: None; a shape, for a net's only input; {input name: shape}; or a list of these.
        inputs: what the net takes.

    Raises:
        UsageError: it is none of these, or a shape does not fit its input.
    """
    if given is None:
        return []
    if isinstance(given, list) and not all(isinstance(side, int) for side in given):
        return [shapes for one in given for shapes in read_shapes(one, inputs)]
    if not isinstance(given, Mapping):
        if len(inputs) > 1:
            raise UsageError(
                f"`shapes` needs a shape for each of {[spec.name for spec in inputs]}: pass a dict of them"
            )
        given = {inputs[0].name: given}
    if given.keys() != {spec.name for spec in inputs}:
        raise UsageError(f"`shapes` names {list(given)}, the net takes {[spec.name for spec in inputs]}")
    shapes = {}
    for spec in inputs:
        shape = _read_shape(given[spec.name])
        try:
            spec.check_form(spec.dtype, shape)
        except CnncError as error:
            raise UsageError(f"`shapes`: {error}") from error
        shapes[spec.name] = shape
    return [shapes]


def _read_shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise UsageError(f"`shapes` holds {given!r}: a shape is a tuple of whole numbers")
    shape = tuple(given)
    if not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape):
        raise UsageError(f"`shapes` holds {shape}: a shape is a tuple of whole numbers of at least 1")
    return shape


def smallest_shapes(inputs: Sequence[TensorSpec]) -> Shapes:
    """Every input's own shape, at batch 1 where that is open.

    Raises:
        UsageError: another axis is open, and nothing tells its size.
    """
    shapes = {}
    for spec in inputs:
        sides = (1 if axis == 0 and isinstance(side, str) else side for axis, side in enumerate(spec.shape))
        known = tuple(side for side in sides if isinstance(side, int))
        if len(known) < len(spec.shape):
            raise UsageError(f"input {spec.name!r} has the open shape {spec}: say which `shapes` to run")
        shapes[spec.name] = known
    return shapes
