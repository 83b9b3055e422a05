"""Sizes that a model leaves open -> numbers: from what its inputs are, with the batch as 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import onnx_ir as ir

from cnnc_passes.dims import dims_of
from cnnc_runtime.errors import UsageError

__all__ = ["concrete_shape", "nominal_sizes", "sizes_from", "with_batch_of_one"]

_NOMINAL = 64  # stands for an open height, width or length where costs of two forms are compared


def sizes_from(shape: ir.Shape | None, numbers: Sequence[int]) -> dict[str, int]:
    """The symbols of a declared shape, by what its sizes really are: `["n", 3, "h"]`, `(1, 3, 224)` -> n 1, h 224."""
    pairs = zip(dims_of(shape or ()), numbers, strict=False)
    return {size.value: number for size, number in pairs if not isinstance(size, int) and size.value is not None}


def with_batch_of_one(model: ir.Model, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
    """`sizes`, and 1 for each symbol in the leading axis of an input that they do not name."""
    leading = [value.shape[0] for value in model.graph.inputs if value.shape]
    return {str(size): 1 for size in leading if not isinstance(size, int)} | dict(sizes or {})


def nominal_sizes(model: ir.Model) -> dict[str, int]:
    """A number for every symbol in the inputs' shapes: the batch 1, others one that is neither small nor odd."""
    axes = [axis for value in model.graph.inputs for axis in dims_of(value.shape or ())]
    nominal = {axis.value: _NOMINAL for axis in axes if not isinstance(axis, int) and axis.value is not None}
    return nominal | with_batch_of_one(model)


def concrete_shape(value: ir.Value, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The shape in numbers: open sizes from `sizes`, symbols in the leading axis 1.

    Returns:
        None if the rank, or a size further back, is unknown: not open but nowhere said, as where it depends
        on the data.

    Raises:
        UsageError: a symbol that `sizes` does not settle.
    """
    if value.shape is None:
        return None
    dims = value.shape.dims
    if all(type(size) is int for size in dims):  # most are, and an analysis asks for each a dozen times
        return cast("tuple[int, ...]", tuple(dims))
    shape = []
    for axis, size in enumerate(dims_of(dims)):
        number = size if isinstance(size, int) else _evaluate(size, sizes, leading=axis == 0)
        if number is None:
            return None
        if not isinstance(number, int):
            raise UsageError(f"{value.name!r} has the open shape {value.shape}: give the input's, --input-shape")
        shape.append(number)
    return tuple(shape)


def _evaluate(size: ir.SymbolicDim, sizes: Mapping[str, int], *, leading: bool) -> int | ir.SymbolicDim | None:
    if size.value is None:
        return 1 if leading else None
    if size.value in sizes:  # also a symbol that is no expression
        return sizes[size.value]
    try:
        ones = dict.fromkeys(size.free_symbols(), 1) if leading else {}
        return size.evaluate({**ones, **sizes})
    except ValueError:
        return 1 if leading else size
