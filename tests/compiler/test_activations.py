"""Activation health: statistics against PyTorch's own, every flag on a network made to have it, none on a good one."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from cnnc.analysis.activations import ActivationHealth, LayerActivations, measure_activations
from cnnc.analysis.activations.flags import find_flags
from cnnc.analysis.activations.moments import Bins, Moments
from cnnc.export import export
from tests.compiler.activation_nets import DIGITS, measured, small_model


@functools.cache
def exported_stack(activation: type[nn.Module]) -> tuple[nn.Sequential, ir.Model]:
    """Eight fully connected layers, 64 wide, on the digits; the graph reads the module's weights where they are."""
    layers = [part for _ in range(8) for part in (nn.Linear(64, 64), activation())]
    net = nn.Sequential(nn.Flatten(), *layers)
    return net, export(net, (torch.zeros(2, 1, 8, 8),))


def stack(
    activation: type[nn.Module], weight: Callable[[torch.Tensor], object], bias: float = 0.0, last: float = 1.0
) -> ActivationHealth:
    """The health of such a stack, initialized from seed 0: normal biases of deviation `bias`, a last layer scaled."""
    net, model = exported_stack(activation)
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in net[1::2]:
            weight(layer.weight)
            nn.init.normal_(layer.bias, std=bias)
        net[-2].weight *= last
    return measure_activations(model, DIGITS[:200])


def kinds(health: ActivationHealth) -> list[str]:
    """What is flagged, without the figures."""
    return [flag.partition(":")[0] for flag in health.flags]


def by_kind(health: ActivationHealth, kind: str) -> list[LayerActivations]:
    return [layer for layer in health.layers if layer.kind == kind]


class Mixed(nn.Module):
    """Every kind of layer; a part whose exported form is several nodes; a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.bn = nn.BatchNorm2d(6)
        self.silu = nn.SiLU()
        self.pool = nn.MaxPool2d(2)
        self.group = nn.GroupNorm(2, 6)
        self.relu = nn.ReLU()
        self.tokens = nn.Linear(6, 5)
        self.ln = nn.LayerNorm(5)
        self.gelu = nn.GELU()
        self.sigmoid = nn.Sigmoid()
        self.fc = nn.Linear(5, 4)
        self.tanh = nn.Tanh()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.group(self.pool(self.silu(self.bn(self.conv(x))))))
        x = self.gelu(self.ln(self.tokens(x.flatten(2).transpose(1, 2))))
        x = x * self.sigmoid(x.mean(1, keepdim=True))
        return self.tanh(self.fc(x.mean(1)))


def test_statistics_are_those_of_pytorch() -> None:
    torch.manual_seed(0)
    net = Mixed()
    seen: dict[str, np.ndarray] = {}
    x = DIGITS[:200]
    health = measured(net, x, batch=64)
    for name, module in net.named_children():
        module.register_forward_hook(lambda _, __, y, name=name: seen.__setitem__(name, y.detach().double().numpy()))
    with torch.no_grad():
        net.eval()(torch.from_numpy(x))
    assert [layer.name for layer in health.layers] == list(seen)
    for layer in health.layers:
        values = seen[layer.name]
        largest = np.abs(values).max()
        assert layer.shape == values.shape[1:]
        assert layer.mean == pytest.approx(values.mean(), abs=1e-5 * largest)
        assert layer.std == pytest.approx(values.std(), rel=1e-5)
        assert math.sqrt(layer.sample_variance) == pytest.approx(math.sqrt(values.var(axis=0).mean()), rel=1e-5)
        assert (layer.minimum, layer.maximum) == pytest.approx((values.min(), values.max()), abs=1e-5 * largest)
        assert layer.zeros == (values == 0).mean()
        assert layer.nonfinite == 0
        assert sum(layer.histogram.counts) == values.size
        counts, _ = np.histogram(values, layer.histogram.edges)
        assert np.abs(counts - layer.histogram.counts).sum() <= 2 + values.size // 2000  # values at an edge


def test_names_operators_and_units_are_those_of_the_layers() -> None:
    health = measured(Mixed(), DIGITS[:12])
    found = {layer.name: (layer.op, layer.kind, layer.units, layer.depth) for layer in health.layers}
    assert found["silu"] == ("SiLU", "activation", 6, 1)
    assert found["group"] == ("InstanceNormalization", "normalization", 6, 1)
    assert found["tokens"] == ("MatMul", "linear", 5, 2)
    assert found["gelu"] == ("Gelu", "activation", 5, 2)
    assert found["fc"] == ("Gemm", "linear", 4, 3)
    decides = {layer.name for layer in health.layers if layer.decides}
    assert {"sigmoid", "tanh"} <= decides  # the gate and the output


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_batch_size_does_not_matter(batch: int) -> None:
    one, two = (measure_activations(small_model(), DIGITS[:200], batch=size) for size in (None, batch))
    for layer, other in zip(one.layers, two.layers, strict=True):
        assert (layer.mean, layer.variance) == pytest.approx((other.mean, other.variance), rel=1e-6, abs=1e-8)
        assert layer.sample_variance == pytest.approx(other.sample_variance, rel=1e-6)
        assert (layer.dead_units, layer.shape) == (other.dead_units, other.shape)
        assert layer.histogram.edges == other.histogram.edges


def test_a_fixed_batch_is_filled_up_and_the_filling_left_out() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    fixed = export(net, (torch.zeros(8, 1, 8, 8),), dynamic={})
    got, want = measure_activations(fixed, DIGITS[:21]), measured(net, DIGITS[:21])
    assert got.samples == 21
    for a, b in zip(got.layers, want.layers, strict=True):
        assert (a.mean, a.variance, sum(a.histogram.counts)) == pytest.approx((b.mean, b.variance, 21 * 4 * 36))


def test_moments_do_not_cancel_and_bins_merge_exactly() -> None:
    values = np.random.default_rng(0).standard_normal(1000) * 1e-3 + 1e6
    moments, whole, parts = Moments(), Bins(), Bins()
    for part in np.split(values, 10):
        moments.update(part)
    assert float(moments.variance) == pytest.approx(values.var(), rel=1e-9)
    values = np.concatenate([values - 1e6, 50 * values / 1e6, [-3e30, 0.0]])
    whole.update(values)
    for part in np.array_split(values, 13):
        parts.update(part)
    assert whole.result() == parts.result()
    counts, edges = whole.result()
    assert sum(counts) == len(values) and len(counts) <= 32 and edges[0] <= -3e30 < edges[1]


def test_dead_rectifiers_are_counted_exactly() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU6())
    with torch.no_grad():
        net[0].bias[:3] = -1e3
        net[2].bias[:] = -1e3
    health = measured(net)
    first, second = health.layers[1], health.layers[3]
    assert first.dead_units == 3 and first.units == 8
    assert first.dead_elements is not None and 3 * 36 <= first.dead_elements < 4 * 36
    assert (second.dead_units, second.dead_elements, second.zeros, second.saturated) == (4, 4 * 16, 1.0, 0.0)
    assert health.flags[0] == "dead: 4 of 4 units of 3 are active on none of 200 samples"
    assert [flag.partition(" differ")[0] for flag in health.flags[1:]] == ["insensitive: the values of 2"]  # all bias
    assert find_flags(health.layers, 9) == health.flags[1:]  # too few samples to call a unit dead


def test_saturated_sigmoids() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sigmoid(), nn.Linear(8, 4), nn.Sigmoid())
    with torch.no_grad():
        net[1].weight *= 100
        net[3].weight *= 100
    health = measured(net)
    with torch.no_grad():
        y = net[:3](torch.from_numpy(DIGITS[:200]))
        slope = (y * (1 - y) / 0.25).numpy()
    assert health.layers[1].saturated == pytest.approx((slope < 0.1).mean(), abs=1e-3)
    assert len(health.flags) == 1 and health.flags[0].startswith("saturated: ") and " of 2 are " in health.flags[0]


def test_constant_initialization_is_symmetric() -> None:
    health = stack(nn.Tanh, lambda w: nn.init.constant_(w, 0.02))
    assert all(layer.symmetric for layer in health.layers)
    assert health.flags == (
        "symmetric: all 64 units of 1 are equal on every sample, as a constant initialization leaves them; "
        "so are 15 more layers",
    )
    zero = stack(nn.ReLU, nn.init.zeros_)
    assert kinds(zero) == ["dead", "constant"]


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_small_weights_vanish(activation: type[nn.Module]) -> None:
    health = stack(activation, lambda w: nn.init.normal_(w, std=0.01))
    assert kinds(health) == ["vanishing"]
    linear = by_kind(health, "linear")
    factor = 0.01 * math.sqrt(64) / (1 if activation is nn.Tanh else math.sqrt(2))
    assert (linear[-1].std / linear[0].std) ** (1 / 7) == pytest.approx(factor, rel=0.15)
    assert "over 8 layers" in health.flags[0] and f"{linear[-1].std:.2g} at 15" in health.flags[0]


def test_large_weights_explode_or_saturate() -> None:
    large = stack(nn.ReLU, lambda w: nn.init.normal_(w, std=1.0))
    assert kinds(large) == ["exploding"]
    flat = stack(nn.Tanh, lambda w: nn.init.normal_(w, std=1.0))
    assert kinds(flat) == ["saturated"]


@pytest.mark.parametrize(
    ("activation", "init"),
    [(nn.Tanh, nn.init.xavier_normal_), (nn.ReLU, lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"))],
)
def test_matching_initializations_are_healthy(
    activation: type[nn.Module], init: Callable[[torch.Tensor], object]
) -> None:
    assert stack(activation, init).flags == ()


def test_batchnorm_keeps_small_weights_healthy() -> None:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for i in range(6):
        conv = nn.Conv2d(8 if i else 1, 8, 3, padding=1, bias=False)
        nn.init.normal_(conv.weight, std=0.01)
        parts += [conv, nn.BatchNorm2d(8, eps=1e-12), nn.ReLU()]
    net = nn.Sequential(*parts).eval()
    model = export(net, (torch.zeros(2, 1, 8, 8),))  # reads the statistics where the module has them
    assert kinds(measure_activations(model, DIGITS[:200])) == ["vanishing"]  # they are still 0 and 1
    for index in range(1, len(parts), 3):
        with torch.no_grad():
            y = net[:index](torch.from_numpy(DIGITS[:200]))
            net[index].running_mean.copy_(y.mean((0, 2, 3)))
            net[index].running_var.copy_(y.var((0, 2, 3)))
    assert measure_activations(model, DIGITS[:200]).flags == ()


def test_biases_hide_a_fading_input() -> None:
    health = stack(nn.Tanh, lambda w: nn.init.normal_(w, std=0.01), bias=0.5)
    assert kinds(health) == ["insensitive"]
    assert health.layers[-1].std > 0.3 and health.layers[-1].sample_share < 1e-5


def test_values_that_are_not_finite() -> None:
    health = stack(nn.ReLU, lambda w: nn.init.constant_(w, 1e30))
    assert health.flags[0].startswith("not finite: ") and " of 3 " in health.flags[0]
    broken = health.layers[2]
    assert broken.nonfinite > 0 and math.isnan(broken.sample_variance)
    json.loads(health.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_one_odd_layer_is_no_trend() -> None:
    assert stack(nn.ReLU, nn.init.kaiming_normal_, last=1e-4).flags == ()  # as many a classifier begins


def test_no_layers_no_flags() -> None:
    assert find_flags((), 0) == ()
