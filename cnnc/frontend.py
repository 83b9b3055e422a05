"""Any source, opened: the unrewritten graph, example inputs for it, and the oracle that knows its truth."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from cnnc.examples import check_fits, example_for, parse_shapes
from cnnc.onnx_file import load_onnx, refuse_training_mode
from cnnc.source import Source, resolve
from cnnc.torch_extra import require_torch
from cnnc.verify import Inputs, OnnxOracle, Oracle, TorchOracle
from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError, UsageError
from cnnc_runtime.maps.explanation import Explanation
from cnnc_runtime.probe import is_certified, probe

if TYPE_CHECKING:
    from torch import nn

    from cnnc.export import Dynamic, Example
    from cnnc.fully_convolutional import Sliding

__all__ = ["Frontend", "open_source"]

_TRACED_BATCH = 2
# Operators whose turns or output size are for data to decide: a file with one may hang, or take all memory.
_UNBOUNDED = frozenset(
    {"Loop", "Scan", "If", "ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "Pad", "OneHot"}
)


@dataclasses.dataclass(frozen=True)
class Frontend:
    """A network as it was given, before any rewrite.

    Attributes:
        name: what the user called it.
        model: its graph.
        inputs: an array per graph input, at the size it was traced, and which axes are open.
        oracle: makes its oracle; call it before the graph is rewritten.
        states: what its source says of states, see `cnnc.states`.
        explanation: of the heat map in its graph, if one was added.
        first_departure: names the first value of an unrewritten graph that is not its source's, on a feed.
        sliding: how the windows of a fully convolutional one lie, see `cnnc.fully_convolutional`.
    """

    name: str
    model: ir.Model
    inputs: Inputs
    oracle: Callable[[], Oracle]
    first_departure: Callable[[ir.Model, Mapping[str, np.ndarray]], str | None] = lambda model, feed: None
    states: tuple[str, ...] = ()
    explanation: Explanation | None = None
    sliding: Sliding | None = None

    @property
    def class_inputs(self) -> tuple[str, ...]:
        """The input that asks for the class of a heat map, if there is one."""
        return (self.explanation.class_input,) if self.explanation and self.explanation.class_input else ()

    def sizes(self) -> dict[str, int]:
        """The symbols of the inputs' shapes: the batch as 1, other open axes as in the example."""
        return {
            symbol: 1 if symbol in self.inputs.batch else self.inputs.examples[name].shape[axis]
            for name, axes in self.inputs.axes.items()
            for axis, symbol in axes.items()
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
    allow_training_ops: bool = False,
) -> Frontend:
    """Open a module, a zoo name, `file.py:factory`, `pkg.mod:factory` or an .onnx file; see `cnnc.compile`."""
    found = resolve(source, arguments=arguments, weights=weights)
    if found.path is not None:
        if example is not None or example_factory or dynamic or opset:
            raise UsageError(f"{found.name} is a graph already: its inputs, axes and opset are as they are")
        return _from_onnx(found.path, input_shapes, allow_training_ops)
    require_torch(f"compiling {found.name}")
    if example is None:
        example = example_for(found, shapes=input_shapes, factory=example_factory)
    front = _from_module(found, example, dynamic, opset)
    if not allow_training_ops:
        refuse_training_mode(front.model)
    return front


def _from_module(source: Source, example: Example, dynamic: Dynamic | None, opset: int | None) -> Frontend:
    import torch

    from cnnc.departure import first_departure
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
        _inputs(model, {name: x.detach().cpu().numpy() for name, x in tensors.items()}),
        lambda: TorchOracle(module, constants),
        lambda model, feed: first_departure(module, constants, model, feed),
        source.states,
    )


def _from_onnx(path: Path, input_shapes: Sequence[str], allow_training_ops: bool) -> Frontend:
    model = load_onnx(path, allow_training_ops=allow_training_ops)
    given = parse_shapes(input_shapes)
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    if not inputs:
        raise UnsupportedModelError(f"{path}: the graph has no inputs")
    for name in given:
        if name and name not in [value.name for value in inputs]:
            raise UsageError(f"--input-shape: {path} has no input {name!r}; it has {_names(inputs)}")
    rng = np.random.default_rng(0)
    examples = {str(value.name): _example(value, given.get(str(value.name)) or given.get(""), rng) for value in inputs}
    _check_sizes(path, model, examples)
    if any(node.op_type in _UNBOUNDED for node in model.graph.all_nodes()) and not is_certified(path):
        probe(path)
    return Frontend(str(path), model, _inputs(model, examples), lambda: _oracle(path, model))


def _check_sizes(path: Path, model: ir.Model, examples: Mapping[str, np.ndarray]) -> None:
    """Follow the examples' sizes through a copy of the graph, before anything computes with them.

    Raises:
        InvalidInputError: attributes or sizes contradict each other; names the node.
        ResourceLimitError: a value would not fit this machine's memory.
    """
    graph = model.clone()
    for value in graph.graph.inputs:
        if value.name is not None and value.name in examples:
            value.shape = ir.Shape(examples[value.name].shape)
    try:
        InferShapes()(graph)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from error
    for value in (output for node in graph.graph for output in node.outputs):
        if value.shape is not None and value.shape.is_static():
            check_fits(f"{path}: value {value.name!r}", value.shape.numpy())


def _oracle(path: Path, model: ir.Model) -> OnnxOracle:
    try:
        return OnnxOracle(model)
    except CnncError as error:
        raise type(error)(f"{path}: {error}") from error


def _example(value: ir.Value, given: tuple[int, ...] | None, rng: np.random.Generator) -> np.ndarray:
    """Noise of the input's type and shape; its batch at the size we trace, other open axes as given."""
    if value.dtype is None or value.shape is None or not isinstance(value.type, ir.TensorType):
        raise UnsupportedModelError(f"input {value.name!r} is not a tensor of known type and rank")
    shape = []
    for axis, size in enumerate(value.shape):
        if isinstance(size, int):
            if given is not None and (len(given) != len(value.shape) or given[axis] != size):
                raise UsageError(f"--input-shape: input {value.name!r} has the shape {_shown(value.shape)}")
            shape.append(size)
        elif axis == 0:
            shape.append(_TRACED_BATCH)
        elif given is not None and len(given) == len(value.shape):
            shape.append(given[axis])
        else:
            raise UsageError(
                f"input {value.name!r} has the open shape {_shown(value.shape)}: "
                "give a size to prove it at, --input-shape"
            )
    if any(size < 1 for size in shape):
        raise UnsupportedModelError(f"input {value.name!r} has the impossible shape {shape}")
    check_fits(f"input {value.name!r}", shape)
    dtype = value.dtype.numpy()
    if dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind != "f":
        raise UnsupportedModelError(f"input {value.name!r} of type {value.dtype} is not supported")
    return rng.standard_normal(shape).astype(dtype)


def _inputs(model: ir.Model, examples: dict[str, np.ndarray]) -> Inputs:
    """The examples, with the open axes as the graph names them; the batch is what some input's first axis counts."""
    shapes = {str(value.name): value.shape or () for value in model.graph.inputs if value.name in examples}
    axes = {
        name: {axis: size.value or f"{name}.{axis}" for axis, size in enumerate(shape) if not isinstance(size, int)}
        for name, shape in shapes.items()
    }
    return Inputs(examples, axes, frozenset(open_axes[0] for open_axes in axes.values() if 0 in open_axes))


def _names(values: Sequence[ir.Value]) -> str:
    return ", ".join(str(value.name) for value in values)


def _shown(shape: ir.Shape) -> str:
    return "x".join(str(size) if isinstance(size, int) else size.value or "?" for size in shape)
