"""nn.Module + example inputs -> onnx_ir.Model, whole and unoptimized: the graph as PyTorch means it.

torch.onnx's own optimizer stays off (it would fuse BatchNormalization before the laws see it, and does
some of it wrongly); of onnxscript only constant folding is used, which clears the exporter's litter.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import nn
from torch.utils._pytree import MappingKey, tree_flatten_with_path, tree_unflatten

from cnnc.litter import clear_litter
from cnnc.states import EXPORTERS_NAME
from cnnc.trace import trace
from cnnc.trace_errors import first_line, location
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, UsageError

__all__ = ["BATCH", "Dynamic", "Example", "as_arguments", "evaluating", "export"]

Example = torch.Tensor | Sequence[Any] | Mapping[str, Any]
Dynamic = Mapping[str, Mapping[int, str]]
BATCH = "batch"

_log = logging.getLogger("cnnc")


def export(
    module: nn.Module, example: Example, *, dynamic: Dynamic | None = None, opset: int | None = None
) -> ir.Model:
    """Export `module` in eval mode; the mode it came in is restored.

    Args:
        module: any traceable network.
        example: a tensor, a sequence of positional inputs, or a dict of inputs by parameter name.
        dynamic: the axes that vary, `{"x": {0: "batch"}}`; equal names mean equal sizes. None: the
            first axis of every input is the batch. `{}`: every shape is fixed.
        opset: the ONNX operator set; PyTorch's default if None.

    Returns:
        a model whose initializers share memory with the module's parameters.

    Raises:
        UnsupportedModelError: torch.export cannot trace the module, or an operator has no ONNX form.
        UsageError: `example` or `dynamic` does not fit the module's forward.
    """
    arguments = as_arguments(module, example)
    axes = batch_axes(arguments) if dynamic is None else _checked(dynamic, arguments)
    if module.training:
        _log.info("%s is in train mode: exported in eval mode, left as it was", type(module).__name__)
    with evaluating(module), _quiet(), torch.no_grad():
        program, shapes = trace(module, arguments, axes)
        model = _convert(program, shapes, opset)
    clear_litter(model, set(module.state_dict()), {name for name, _ in module.named_parameters()})
    return model


def as_arguments(module: nn.Module, example: Example) -> dict[str, Any]:
    """The example's inputs by the parameter names of `module.forward`, which become the graph's input names.

    Raises:
        UsageError: they do not fit its signature, are no tensors, or one is empty.
    """
    signature = inspect.signature(module.forward)
    try:
        if isinstance(example, Mapping):
            bound = signature.bind(**example)
        else:
            bound = signature.bind(*([example] if isinstance(example, torch.Tensor) else example))
    except TypeError as error:
        raise UsageError(f"the example does not fit {type(module).__name__}.forward{signature}: {error}") from error
    variadic = {p.name for p in signature.parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if variadic & set(bound.arguments):
        raise UnsupportedModelError(
            f"{type(module).__name__}.forward takes *args or **kwargs: name its inputs, so that the graph can"
        )
    if bound.arguments and not any(isinstance(x, torch.Tensor) for x in bound.arguments.values()):
        kinds = ", ".join(f"{name}: {type(x).__name__}" for name, x in bound.arguments.items())
        raise UsageError(f"the example holds no tensor ({kinds}): give torch tensors, one for each input")
    for name, x in bound.arguments.items():
        if isinstance(x, torch.Tensor) and x.numel() == 0:
            raise UsageError(
                f"the example of input {name!r} is empty, of shape {list(x.shape)}: give at least one item"
            )
    return dict(bound.arguments)


def batch_axes(arguments: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """The default: the first axis of every tensor input is the batch.

    Raises:
        UsageError: the first axes differ, so that no one batch size fits.
    """
    tensors = {name: x for name, x in arguments.items() if isinstance(x, torch.Tensor) and x.ndim > 0}
    sizes = {name: int(x.shape[0]) for name, x in tensors.items()}
    if len(set(sizes.values())) > 1:
        raise UsageError(f"the inputs' first axes differ ({sizes}): say which axes vary with --dynamic, or --static")
    return {name: {0: BATCH} for name in tensors}


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put `module` in eval mode; restore the mode of each of its submodules after, and the working folder.

    Raises:
        InvalidInputError: its forward calls sys.exit(), which is no way for a network to end this process.
    """
    modes, folder = {m: m.training for m in module.modules()}, Path.cwd()
    module.eval()
    try:
        yield
    except SystemExit as error:
        raise InvalidInputError(
            f"{type(module).__name__}.forward called sys.exit({error.code}){location(error)}"
        ) from error
    finally:
        os.chdir(folder)
        for m, mode in modes.items():
            m.training = mode


def _checked(dynamic: Dynamic, arguments: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    for name, axes in dynamic.items():
        if name not in arguments:
            raise UsageError(f"dynamic: no input is named {name!r}; the inputs are {', '.join(arguments)}")
        if not isinstance(arguments[name], torch.Tensor):
            raise UsageError(f"dynamic: input {name!r} is a {type(arguments[name]).__name__}, which has no axes")
        if not isinstance(axes, Mapping) or not all(isinstance(axis, int) for axis in axes):
            raise UsageError(f"dynamic: the axes of input {name!r} are {axes!r}: give a dict, as in {{0: 'batch'}}")
        rank = arguments[name].ndim
        for axis, axis_name in axes.items():
            if not 0 <= axis < rank:
                raise UsageError(f"dynamic: input {name!r} has rank {rank}, so axis {axis} is not one of its axes")
            if not str(axis_name).isidentifier():
                raise UsageError(f"dynamic: axis {axis} of input {name!r} is named {axis_name!r}: give a word")
    return {name: dict(axes) for name, axes in dynamic.items()}


def _convert(program: torch.export.ExportedProgram, shapes: dict[str, Any], opset: int | None) -> ir.Model:
    try:
        onnx_program = torch.onnx.export(
            program,
            (),
            dynamo=True,
            optimize=False,
            verbose=False,
            dynamic_shapes=shapes,
            opset_version=opset,
        )
    except Exception as error:
        cause = error.__cause__ or error
        raise UnsupportedModelError(f"the network has no ONNX form: {first_line(cause)}") from error
    assert onnx_program is not None
    model = onnx_program.model
    _part_outputs(model)
    _name_outputs(model, program)
    if opset is not None and model.opset_imports.get("") != opset:
        raise UnsupportedModelError(
            f"PyTorch exports this network at opset {model.opset_imports.get('')}, and it does not convert to {opset}"
        )
    return model


def _part_outputs(model: ir.Model) -> None:
    """A tensor that the network returns twice becomes two outputs: a graph's have names of their own."""
    outputs = model.graph.outputs
    for index, value in enumerate(outputs):
        if value in outputs[:index]:
            copy = ir.node("Identity", [value])
            copy.outputs[0].name, copy.outputs[0].type = f"{value.name}_{index}", value.type
            copy.outputs[0].shape = value.shape
            model.graph.append(copy)
            outputs[index] = copy.outputs[0]


def _name_outputs(model: ir.Model, program: torch.export.ExportedProgram) -> None:
    """Outputs that the network returns in a dict get their keys as names, `{"a": {"b": y}}` -> `a.b`."""
    spec = program.call_spec.out_spec
    assert spec is not None
    leaves, _ = tree_flatten_with_path(tree_unflatten(range(spec.num_leaves), spec))
    if len(leaves) != len(model.graph.outputs):
        return  # leaves that are no tensors are no outputs
    taken = {value.name for node in model.graph for value in node.outputs} | {v.name for v in model.graph.inputs}
    for (path, _), value in zip(leaves, model.graph.outputs, strict=True):
        name = ".".join(str(step.key) for step in path if isinstance(step, MappingKey))
        if name and name not in taken and not value.is_graph_input():
            value.name = name
            taken.add(name)
        elif not name:
            value.meta[EXPORTERS_NAME] = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what PyTorch prints on its way (missing torchvision, deprecations of its own, half a graph)."""
    names = ("torch.onnx", "torch.fx", "torch.export", "torch._subclasses.fake_tensor", "onnxscript")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
