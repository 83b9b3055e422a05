"""Parameters of a graph are what was learned: as many as the network itself says it has."""

from __future__ import annotations

import math

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnc.analysis import analyze_model
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc.zoo.nf_resnet import ScaledStdConv2d
from cnnc_passes.costs import model_cost
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.laws.recognise_groupnorm import RecogniseGroupnorm


class Scaled(nn.Module):
    """Two normalizations of a kind, and what multiplies: a layer scale, a vector in the last axis, one number."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), norm
        self.layer_scale, self.last = nn.Parameter(torch.rand(8, 1, 1)), nn.Parameter(torch.rand(8))
        self.gain = nn.Parameter(torch.rand(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer_scale * self.norm(self.conv(x))
        x = x.permute(0, 2, 3, 1) * self.last
        return x * self.gain


class Constants(nn.Module):
    """Nothing here is learned but one convolution: statistics of pixels, a fixed kernel, a grid, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("mean", torch.rand(3, 1, 1))
        self.register_buffer("kernel", torch.rand(4, 1, 3, 3))
        self.register_buffer("fixed", torch.rand(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)
        x = F.conv2d(self.conv(x), self.kernel, groups=4) * self.fixed
        return x + torch.linspace(0, 1, 12).view(1, 1, 1, 12)


NORMS = {
    "group": lambda: nn.GroupNorm(2, 8),
    "group_without_scale": lambda: nn.GroupNorm(2, 8, affine=False),
    "instance": lambda: nn.InstanceNorm2d(8, affine=True),
    "instance_without_scale": lambda: nn.InstanceNorm2d(8),
    "batch": lambda: nn.BatchNorm2d(8),
    "batch_without_scale": lambda: nn.BatchNorm2d(8, affine=False),
    "layer": lambda: nn.LayerNorm([8, 14, 14]),
    "layer_without_scale": lambda: nn.LayerNorm([8, 14, 14], elementwise_affine=False),
    "slopes": lambda: nn.PReLU(8),
    "linear": lambda: nn.Linear(14, 14),
}


def counted(module: nn.Module, *shape: int) -> int:
    return analyze_model(export(module.eval(), torch.zeros(2, *shape)), name="net").totals.params


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", NORMS)
def test_normalizations_and_scales(name: str) -> None:
    module = Scaled(NORMS[name]())
    assert counted(module, 3, 16, 16) == learned(module)


def test_buffers_and_constants_are_not_learned() -> None:
    module = Constants()
    assert counted(module, 3, 16, 16) == learned(module) == 4 * 27 + 4


def test_zoo_net_with_layer_scales() -> None:
    module = build("convnext_tiny")
    assert counted(module, *ZOO["convnext_tiny"].input_shape) == learned(module) == ZOO["convnext_tiny"].params


@pytest.mark.parametrize("channels", [8, 128])  # small constants are folded at export, large ones are not
def test_gain_of_a_standardized_weight_is_learned_beside_it(channels: int) -> None:
    module = ScaledStdConv2d(channels, channels, 1)
    assert counted(module, channels, 4, 4) == learned(module) == channels * channels + 2 * channels


@pytest.mark.parametrize(("affine", "dynamic"), [(False, None), (True, None), (True, {})])
def test_tracked_statistics_of_an_instance_norm(affine: bool, dynamic: dict[str, dict[int, str]] | None) -> None:
    """The exporter repeats them for each item, also of a fixed batch, and has a BatchNormalization read them."""
    norms = [nn.BatchNorm2d(32), nn.InstanceNorm2d(32, affine=affine, track_running_stats=True)]
    module = nn.Sequential(nn.Conv2d(3, 32, 3), *norms).eval()
    found = analyze_model(export(module, torch.zeros(2, 3, 8, 8), dynamic=dynamic), name="net")
    assert (found.constants.learned, found.constants.statistics) == (learned(module), 128)
    assert found.totals.params == learned(module)
    assert [layer.statistics for layer in found.layers if layer.op == "BatchNormalization"] == [64, 64]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(
            "resnet50_gn",
            "nf_resnet26",
            "mobilenet_v3_small",
            "efficientnet_b0",
            "ghostnet_100",
            "repvit_m0_9",
            "s3d",
            "unet",
            "r3d_18",
        )
    ],
)
def test_zoo_nets(name: str) -> None:
    module = build(name)
    assert counted(module, *ZOO[name].input_shape) == learned(module)


def graph_of(body: str, **constants: tuple[int, ...]) -> ir.Model:
    """A graph without a record of its parameters, with constants of zeros."""
    zeros = ", ".join(
        f"float[{','.join(map(str, shape))}] {name} = {{{','.join('0' * math.prod(shape))}}}"
        for name, shape in constants.items()
    )
    graph = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[1,4,8,8] x) => (float y) '
        f"<int64[3] grouped = {{0,2,-1}}, int64[4] back = {{0,4,8,8}}, {zeros}> {body}"
    )
    InferShapes()(graph)
    return graph


GROUPNORM = (
    "{ c = Conv (x, w) r = Reshape (c, grouped) i = InstanceNormalization (r, one, zero) n = Reshape (i, back) "
    "m = Mul (n, s) y = Add (m, t) }"
)
SIZES = {"w": (4, 4, 1, 1), "one": (2,), "zero": (2,), "s": (4, 1, 1), "t": (4, 1, 1)}


def test_groupnorm_as_exporters_write_it_and_as_one_operator() -> None:
    graph = graph_of(GROUPNORM, **SIZES)
    assert model_cost(graph).params == 16 + 4 + 4
    norm = next(node for node in graph.graph if node.op_type == "InstanceNormalization")
    change = RecogniseGroupnorm().rewrite(norm)
    ir.convenience.replace_nodes_and_values(
        graph.graph, norm, change.remove, change.insert, change.remove[-1].outputs, change.insert[-1].outputs
    )
    assert model_cost(graph).params == 16 + 4 + 4


def test_constants_on_the_input_are_the_pixels_statistics() -> None:
    graph = graph_of("{ n = Mul (x, s) m = Add (n, t) y = Conv (m, w) }", s=(4, 1, 1), t=(1, 4, 1, 1), w=(2, 4, 1, 1))
    assert model_cost(graph).params == 8


def test_layer_scale_after_a_convolution() -> None:
    graph = graph_of("{ c = Conv (x, w) n = Mul (s, c) y = Add (n, x) }", s=(1, 4, 1, 1), w=(4, 4, 1, 1))
    assert model_cost(graph).params == 16 + 4


def test_grid_or_number_is_not_per_channel() -> None:
    sizes = {"w": (4, 4, 1, 1), "grid": (1, 1, 8, 8), "number": (1,)}
    assert model_cost(graph_of("{ c = Conv (x, w) n = Mul (c, grid) y = Add (n, number) }", **sizes)).params == 16
