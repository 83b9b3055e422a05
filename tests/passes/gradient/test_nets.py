"""Whole networks: the gradient of one class's score with respect to random layers, as Grad-CAM takes it."""

from __future__ import annotations

import copy
import dataclasses
import random
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import fx

import cnnc.zoo
from cnnc.frontend import open_source
from cnnc_passes.gradient.paths import paths
from cnnc_passes.infer_shapes import InferShapes
from tests.nets import randomize_statistics
from tests.passes.gradient.harness import deviation, run, run_exactly, with_gradient

CLASSES = (3, 1)


class _From(fx.Interpreter):
    """A traced network whose value `layer` is a leaf of autograd."""

    def __init__(self, program: fx.GraphModule, layer: str) -> None:
        super().__init__(program)
        self.layer = layer
        self.leaf = torch.empty(0)

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if node.name != self.layer:
            return value
        self.leaf = value.detach().requires_grad_()
        return self.leaf


def by_autograd(program: fx.GraphModule, x: torch.Tensor, layer: str, seed: torch.Tensor) -> np.ndarray:
    """d<scores, seed>/d layer in float64."""
    run_from = _From(program, layer)
    scores = run_from.run(x.double())
    (gradient,) = torch.autograd.grad(scores, run_from.leaf, seed.double())
    return gradient.numpy()


def feature_maps(model: ir.Model, program: fx.GraphModule) -> list[ir.Value]:
    """Those on the way from the input to the score, in order, that PyTorch has a name for."""
    InferShapes()(model)
    traced = {node.name for node in program.graph.nodes}
    route = paths(model.graph, model.graph.inputs[0], model.graph.outputs[0])
    values = [value for node in route for value in node.outputs if value.name in traced]
    return [value for value in values if value.shape is not None and len(value.shape) >= 4]


@dataclasses.dataclass(frozen=True)
class Errors:
    """By layer, how far the gradient is from autograd's, both in float64 or the engine's in float32."""

    exact: dict[str, float]
    on_engine: dict[str, float]


def errors(name: str, size: int | None = None) -> Errors:
    """For random layers and the last one; on the engine for those of the last quarter.

    Of a layer far from the score, float32 has another gradient, in PyTorch too, where rounding carries one of the
    values between across the 0 of its ReLU.

    Args:
        name: of a network of the zoo, with random weights and statistics.
        size: its input's height and width; its own if None.
    """
    torch.manual_seed(0)
    module = randomize_statistics(cnnc.zoo.build(name)).eval()
    shape = list(cnnc.zoo.ZOO[name].input_shape)
    shape[-2:] = shape[-2:] if size is None else [size, size]
    x = torch.randn(2, *shape)
    graph = open_source(module, x).model
    program = torch.export.export(copy.deepcopy(module).double(), (x.double(),)).module()
    maps, rng, found = feature_maps(graph, program), random.Random(name), Errors({}, {})
    late = maps[-len(maps) // 4 : -1]
    for layer in [*rng.sample(maps[: -len(late) - 1], 2), rng.choice(late), maps[-1]]:
        model = graph.clone()
        classes = torch.nn.functional.one_hot(torch.tensor(CLASSES), int(model.graph.outputs[0].shape[1])).float()
        expected = by_autograd(program, x, str(layer.name), classes)
        with_gradient(model, next(v for node in model.graph for v in node.outputs if v.name == layer.name))
        feed = {str(model.graph.inputs[0].name): x.numpy(), "seed": classes.numpy()}
        found.exact[str(layer.name)] = deviation(run_exactly(model, feed), expected)
        if layer in late or layer is maps[-1]:
            found.on_engine[str(layer.name)] = deviation(run(model, feed), expected)
    return found


def check(found: Errors) -> None:
    assert len(found.exact) == 4
    assert len(found.on_engine) == 2
    assert all(error <= 1e-6 for error in found.exact.values()), found
    assert all(error <= 1e-4 for error in found.on_engine.values()), found


def test_lenet5() -> None:
    check(errors("lenet5"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet20", None),
        ("squeezenet1_1", 64),
        ("mobilenet_v3_small", 64),
        ("shufflenet_v2_x1_0", 64),
        ("ghostnet_100", 64),
        ("googlenet", 64),
        ("seresnet50", 64),
        ("densenet121", 64),
        ("efficientnet_b0", 64),
        ("convnext_tiny", 64),
        ("alexnet_2012", None),
        ("resnet50_gn", 64),
        ("regnet_y_400mf", 64),
        ("inception_v3", 96),
        ("cspdarknet53", 64),
        ("repvit_m0_9", 64),
        ("resnet50d", 64),
        ("r2plus1d_18", 32),
    ],
)
def test_net(name: str, size: int | None) -> None:
    check(errors(name, size))
