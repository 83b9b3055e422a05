"""The gradient of a graph on onnxruntime and in float64, beside torch.autograd's in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from torch import nn

from cnnc.frontend import open_source
from cnnc.verify.reference import Float64Evaluator
from cnnc_passes.gradient import Gradient, differentiate
from cnnc_passes.infer_shapes import InferShapes

Formula = Callable[[torch.Tensor], torch.Tensor]
ENGINE_LIMIT = 1e-5  # of the largest element, for a few operators in float32
EXACT_LIMIT = 1e-6  # in float64, with constants of float32


class Side(nn.Module):
    """Functions side by side, each on channels of its own: one export for many."""

    def __init__(self, functions: Mapping[str, Formula | nn.Module], channels: int) -> None:
        super().__init__()
        self.functions, self.channels = list(functions.values()), channels
        self.parts = nn.ModuleList(f for f in self.functions if isinstance(f, nn.Module))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = torch.split(x, self.channels, 1)
        return torch.cat([f(part).flatten(1) for f, part in zip(self.functions, parts, strict=True)], 1)


def with_gradient(model: ir.Model, wrt: ir.Value, score: ir.Value | None = None) -> Gradient:
    """Put a gradient with respect to `wrt` into the model as its last output; its seed becomes an input.

    Args:
        model: inferred here.
        wrt: a value of its graph.
        score: another; the first output if None.
    """
    InferShapes()(model)
    score = model.graph.outputs[0] if score is None else score
    seed = ir.Value(name="seed", type=score.type, shape=score.shape)
    model.graph.inputs.append(seed)
    found = differentiate(score, seed, wrt)
    for constant in found.initializers:
        model.graph.register_initializer(constant)
    model.graph.extend(found.nodes)
    last = ir.node("Identity", [found.value])
    last.outputs[0].name, last.outputs[0].type, last.outputs[0].shape = "gradient", score.type, found.value.shape
    model.graph.append(last)
    model.graph.outputs.append(last.outputs[0])
    return found


def run(model: ir.Model, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    """The last output on the CPU, with the graph optimizations that the engine has on."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(
        checked(model).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["Pad_Fusion"],
    )
    return np.asarray(session.run([model.graph.outputs[-1].name], dict(feed))[0])


def run_exactly(model: ir.Model, feed: Mapping[str, np.ndarray]) -> np.ndarray:
    """The last output in float64, without the engine."""
    return Float64Evaluator(ir.to_proto(model)).run(feed)[-1]


def checked(model: ir.Model) -> onnx.ModelProto:
    """The model, after onnx's checker and its strict shape inference, which read the shapes that we declare."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    return proto


def deviation(found: np.ndarray, expected: np.ndarray, scale: float | None = None) -> float:
    """The largest difference over the largest magnitude expected (or `scale`); `found` broadcasts."""
    assert found.ndim == expected.ndim
    difference = np.abs(np.broadcast_to(found, expected.shape) - expected).max()
    return float(difference / (scale or max(np.abs(expected).max(), 1e-30)))


def torch_gradient(module: nn.Module | Formula, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The gradient in float64 of a random linear form of the output, and the form, float32."""
    exact = copy.deepcopy(module).double() if isinstance(module, nn.Module) else module
    x = x.double().requires_grad_()
    y = exact(x)
    form = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(y, x, form.double())
    return gradient.numpy(), form.numpy()


def deviations(
    functions: Mapping[str, Formula | nn.Module],
    shape: Sequence[int],
    *,
    run_shape: Sequence[int] | None = None,
    dynamic: Any = None,
) -> dict[str, float]:
    """By function, how far the gradient of its export is from PyTorch's, where it is further than it may be.

    Each is traced at a batch of 2 and run at one of 3, on the engine and in float64.

    Args:
        functions: of channels of their own.
        shape: what each takes, without the batch: (C, *sizes).
        run_shape: what it is run on, if that differs.
        dynamic: the open axes, as `cnnc.compile` takes them; the batch if None.
    """
    torch.manual_seed(0)
    module = Side(functions, shape[0]).eval()
    model = open_source(module, torch.randn(2, shape[0] * len(functions), *shape[1:]), dynamic=dynamic).model
    x = torch.randn(3, shape[0] * len(functions), *(run_shape or shape)[1:])
    expected, form = torch_gradient(module, x)
    with_gradient(model, model.graph.inputs[0])
    feed = {"x": x.numpy(), "seed": form}
    found: dict[str, float] = {}
    for limit, gradient in ((ENGINE_LIMIT, run(model, feed)), (EXACT_LIMIT, run_exactly(model, feed))):
        for index, name in enumerate(functions):
            own = slice(index * shape[0], (index + 1) * shape[0])
            error = deviation(gradient[:, own], expected[:, own])
            if not error <= limit:
                found[name] = max(error, found.get(name, 0))
    return found


def graph_deviation(
    proto: onnx.ModelProto, formula: Formula, arrays: Mapping[str, np.ndarray], wrt: str = "x"
) -> tuple[float, float]:
    """How far the gradient of a graph's output `y` is from that of `formula`: on the engine, in float64.

    Args:
        proto: a model with inputs `arrays`.
        formula: what it computes of `wrt`.
        arrays: its inputs.
        wrt: one of them.
    """
    model = ir.from_proto(proto)
    with_gradient(model, next(value for value in model.graph.inputs if value.name == wrt))
    expected, form = torch_gradient(formula, torch.from_numpy(arrays[wrt]))
    feed = {**arrays, "seed": form}
    return deviation(run(model, feed), expected), deviation(run_exactly(model, feed), expected)
