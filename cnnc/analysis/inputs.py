"""The sizes that a graph leaves open, settled: from `--input-shape`, and the batch as 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc_passes.dims import UNKNOWN, dims_of
from cnnc_passes.sizes import concrete_shape, sizes_from
from cnnc_runtime.errors import UsageError

__all__ = ["batch_size", "fix_input_shapes", "require_known_inputs"]


def fix_input_shapes(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Give the graph's inputs the `shapes` (by name; "" for an only input), in place.

    Returns:
        the sizes that its symbols now have, `{"batch": 1, "height": 224}`.

    Raises:
        UsageError: no such input, or its shape does not fit.
    """
    inputs = {str(value.name): value for value in model.graph.inputs if value.const_value is None}
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if not name and len(inputs) != 1:
            raise UsageError(f"--input-shape: name the input, one of {', '.join(inputs)}")
        value = inputs.get(name) if name else next(iter(inputs.values()))
        if value is None:
            raise UsageError(f"--input-shape: no input is named {name!r}; there is {', '.join(inputs)}")
        sizes |= _fix(value, shape)
    return sizes


def require_known_inputs(model: ir.Model, sizes: Mapping[str, int]) -> None:
    """Raise UsageError, naming the input, if one has an open size besides the batch that `sizes` does not settle."""
    for value in model.graph.inputs:
        try:
            concrete = concrete_shape(value, sizes)
        except UsageError:
            concrete = None
        if concrete is None and isinstance(value.type, ir.TensorType):
            shape = "unknown rank" if value.shape is None else f"the open shape {value.shape}"
            raise UsageError(f"input {value.name!r} has {shape}: give --input-shape {value.name}:1,3,224,224")


def batch_size(model: ir.Model, sizes: Mapping[str, int]) -> int:
    """The first axis of the first input."""
    for value in model.graph.inputs:
        shape = concrete_shape(value, sizes)
        if shape:
            return shape[0]
    return 1


def _fix(value: ir.Value, shape: Sequence[int]) -> dict[str, int]:
    declared = dims_of(value.shape) if value.shape is not None else [UNKNOWN] * len(shape)
    fits = len(declared) == len(shape) and all(
        not isinstance(old, int) or old == new for old, new in zip(declared, shape, strict=True)
    )
    if not fits:
        raise UsageError(f"--input-shape {list(shape)}: input {value.name!r} has the shape {value.shape}")
    sizes = sizes_from(value.shape, shape)
    value.shape = ir.Shape(shape)
    return sizes
