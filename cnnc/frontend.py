"""Any source, opened: the unrewritten graph, example inputs for it, and the oracle that knows its truth."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from cnnc.examples import example_for, parse_shapes
from cnnc.onnx_file import load_onnx
from cnnc.source import Source, resolve
from cnnc.torch_extra import require_torch
from cnnc.verify import OnnxOracle, Oracle, TorchOracle
from cnnc_runtime.errors import UnsupportedModelError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from cnnc.export import Dynamic, Example

__all__ = ["Frontend", "open_source"]

_TRACED_BATCH = 2


@dataclasses.dataclass(frozen=True)
class Frontend:
    """A network as it was given, before any rewrite.

    Attributes:
        name: what the user called it.
        model: its graph.
        examples: one array per graph input, at the size it was traced.
        batch_axes: per input, the axes that are the (dynamic) batch.
        oracle: makes its oracle; call it before the graph is rewritten.
    """

    name: str
    model: ir.Model
    examples: dict[str, np.ndarray]
    batch_axes: dict[str, list[int]]
    oracle: Callable[[], Oracle]

    def sizes(self) -> dict[str, int]:
        """The symbols of the inputs' shapes: the batch as 1, other open axes as in the example."""
        return {
            axis.value: 1 if index in self.batch_axes[str(value.name)] else self.examples[str(value.name)].shape[index]
            for value in self.model.graph.inputs
            if value.shape is not None and value.name in self.examples
            for index, axis in enumerate(value.shape)
            if isinstance(axis, ir.SymbolicDim) and axis.value is not None
        }


def open_source(
    source: nn.Module | str | os.PathLike[str],
    example: Example | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    input_shapes: Sequence[str] = (),
    example_factory: str | None = None,
    dynamic: Dynamic | None = None,
    opset: int | None = None,
) -> Frontend:
    """Open a module, a zoo name, `file.py:factory`, `pkg.mod:factory` or an .onnx file; see `cnnc.compile`."""
    found = resolve(source, arguments=arguments, weights=weights)
    if found.path is not None:
        if example is not None or example_factory or dynamic or opset:
            raise UsageError(f"{found.name} is a graph already: its inputs, axes and opset are as they are")
        return _from_onnx(found.path, input_shapes)
    require_torch(f"compiling {found.name}")
    if example is None:
        example = example_for(found, shapes=input_shapes, factory=example_factory)
    return _from_module(found, example, dynamic, opset)


def _from_module(source: Source, example: Example, dynamic: Dynamic | None, opset: int | None) -> Frontend:
    import torch

    from cnnc.export import as_arguments, export

    assert source.module is not None
    arguments = as_arguments(source.module, example)
    for name, x in arguments.items():
        if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16:
            raise UnsupportedModelError(f"input {name!r} is bfloat16, unknown to NumPy: compile module.float()")
    model = export(source.module, example, dynamic=dynamic, opset=opset)
    tensors = {name: x for name, x in arguments.items() if isinstance(x, torch.Tensor)}
    constants = {name: x for name, x in arguments.items() if name not in tensors}
    names = [value.name for value in model.graph.inputs]
    if names != list(tensors):
        raise UnsupportedModelError(f"inputs {list(tensors)} became {names}: every input must be a tensor that is used")
    model.producer_name, model.graph.name = "cnnc", source.name
    module = source.module
    return Frontend(
        source.name,
        model,
        {name: x.detach().cpu().numpy() for name, x in tensors.items()},
        _batch_axes(model),
        lambda: TorchOracle(module, constants),
    )


def _from_onnx(path: Path, input_shapes: Sequence[str]) -> Frontend:
    model = load_onnx(path)
    given = parse_shapes(input_shapes)
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    if not inputs:
        raise UnsupportedModelError(f"{path}: the graph has no inputs")
    for name in given:
        if name and name not in [value.name for value in inputs]:
            raise UsageError(f"--input-shape: {path} has no input {name!r}; it has {_names(inputs)}")
    rng = np.random.default_rng(0)
    examples = {str(value.name): _example(value, given.get(str(value.name)) or given.get(""), rng) for value in inputs}
    return Frontend(str(path), model, examples, _batch_axes(model), lambda: OnnxOracle(model))


def _example(value: ir.Value, given: tuple[int, ...] | None, rng: np.random.Generator) -> np.ndarray:
    """Noise of the input's type and shape; its batch at the size we trace, other open axes as given."""
    if value.dtype is None or value.shape is None or not isinstance(value.type, ir.TensorType):
        raise UnsupportedModelError(f"input {value.name!r} is not a tensor of known type and rank")
    shape = []
    for axis, size in enumerate(value.shape):
        if isinstance(size, int):
            if given is not None and (len(given) <= axis or given[axis] != size):
                raise UsageError(f"--input-shape: input {value.name!r} has the fixed shape {list(value.shape)}")
            shape.append(size)
        elif axis == 0:
            shape.append(_TRACED_BATCH)
        elif given is not None and len(given) == len(value.shape):
            shape.append(given[axis])
        else:
            raise UsageError(
                f"input {value.name!r} has the open shape {[str(d) for d in value.shape]}: "
                "give a size to prove it at, --input-shape"
            )
    if any(size < 1 for size in shape):
        raise UnsupportedModelError(f"input {value.name!r} has the impossible shape {shape}")
    dtype = value.dtype.numpy()
    if dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind != "f":
        raise UnsupportedModelError(f"input {value.name!r} of type {value.dtype} is not supported")
    return rng.standard_normal(shape).astype(dtype)


def _batch_axes(model: ir.Model) -> dict[str, list[int]]:
    """Per input, the axes whose symbol is that of some input's first axis."""
    inputs = [value for value in model.graph.inputs if value.shape is not None and not value.is_initializer()]
    symbols = {value.shape[0] for value in inputs if value.shape and not isinstance(value.shape[0], int)}
    return {
        str(value.name): [axis for axis, size in enumerate(value.shape or ()) if size in symbols] for value in inputs
    }


def _names(values: Sequence[ir.Value]) -> str:
    return ", ".join(str(value.name) for value in values)
