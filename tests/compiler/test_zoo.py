"""The reference nets: published sizes, torchvision's names, reproducible weights, signals of sane scale."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnc.zoo import ZOO, build
from cnnc.zoo.weights import fill
from cnnc_runtime.errors import UsageError
from tests.compiler import zoo_facts_modern
from tests.compiler.zoo_facts import MACS, MACS_OF_SEVERAL_INPUTS, PUBLISHED_GMACS, STATE_DICT

HEAVY = ("vgg16", "vgg16_bn", "alexnet", "alexnet_2012", "wide_resnet50_2")  # over 200 MB of weights: on meta only
LIGHT = [name for name in MACS if name not in HEAVY]


def on_meta(name: str) -> nn.Module:
    """The net without memory for its weights."""
    family, factory = ZOO[name].factory.split(":")
    with torch.device("meta"):
        module: nn.Module = getattr(importlib.import_module(f"cnnc.zoo.{family}"), factory)()
    return module.eval()


def test_every_net_has_its_facts() -> None:
    assert set(ZOO) == {*MACS, *zoo_facts_modern.MACS, *MACS_OF_SEVERAL_INPUTS}


@pytest.mark.parametrize("name", MACS)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
    """MACs counted by PyTorch's own counter, which knows nothing of our formulas."""
    module = on_meta(name)
    assert sum(p.numel() for p in module.parameters()) == ZOO[name].params
    with FlopCounterMode(display=False) as counter:
        y = module(torch.zeros(1, *ZOO[name].input_shape, device="meta"))
    assert counter.get_total_flops() == 2 * MACS[name]
    assert y.shape == (1, ZOO[name].num_classes)


@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_macs_agree_with_the_literature_to_its_digits(name: str) -> None:
    printed = PUBLISHED_GMACS[name]
    assert f"{MACS[name] / 1e9:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.parametrize("name", STATE_DICT)
def test_state_dict_keys_are_torchvisions_or_timms(name: str) -> None:
    state = on_meta(name).state_dict()
    entries, keys = STATE_DICT[name]
    assert set(keys) <= set(state)
    assert len(state) == entries


def test_strides_of_resnet50_are_in_the_3x3_convolutions_and_of_the_papers_in_the_1x1() -> None:
    later, paper = (on_meta(name).get_submodule("layer2.0") for name in ("resnet50", "resnet50_v1"))
    assert (later.conv1.stride, later.conv2.stride) == ((1, 1), (2, 2))
    assert (paper.conv1.stride, paper.conv2.stride) == ((2, 2), (1, 1))


def test_resnet50d_averages_before_it_projects() -> None:
    pool, convolution, _ = on_meta("resnet50d").get_submodule("layer2.0.downsample")
    assert (pool.kernel_size, pool.stride, convolution.stride) == (2, 2, (1, 1))
    assert isinstance(on_meta("resnet50d").get_submodule("layer1.0.downsample.0"), nn.Identity)


def test_wide_and_grouped_bottlenecks_have_the_papers_widths() -> None:
    wide, grouped = (on_meta(name).get_submodule("layer3.0.conv2") for name in ("wide_resnet50_2", "resnext50_32x4d"))
    assert (wide.out_channels, wide.groups) == (512, 1)
    assert (grouped.out_channels, grouped.groups) == (512, 32)


def test_group_norm_net_has_32_groups_and_no_batchnorm() -> None:
    layers = list(on_meta("resnet50_gn").modules())
    assert {layer.num_groups for layer in layers if isinstance(layer, nn.GroupNorm)} == {32}
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)


def test_cifar_shortcut_keeps_every_second_pixel_and_adds_channels_of_zeros() -> None:
    block = build("resnet20").get_submodule("layer2.0")
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shortcut = torch.cat([x[:, :, ::2, ::2], torch.zeros(1, 16, 4, 4)], 1)
        assert torch.equal(block(x), torch.relu(block.convolutions(x) + shortcut))


@pytest.mark.parametrize(("plain", "residual"), [("plain20", "resnet20"), ("plain56", "resnet56")])
def test_plain_nets_have_the_residual_nets_parameters(plain: str, residual: str) -> None:
    shapes = [{key: value.shape for key, value in on_meta(name).state_dict().items()} for name in (plain, residual)]
    assert shapes[0] == shapes[1]


def test_first_preactivation_block_reads_the_stems_activation_and_the_last_sum_is_activated() -> None:
    net = on_meta("preactresnet18")
    first, second = net.get_submodule("layer1.0"), net.get_submodule("layer1.1")
    assert first.bn1 is None and second.bn1 is not None
    assert net.norm.num_features == 512


def test_response_normalization_is_the_papers() -> None:
    """The output is a / (2 + 1e-4 * sum of a**2 over 5 channels)**0.75, as section 3.3 of the paper has it."""
    layer = on_meta("alexnet_2012").get_submodule("features.2")
    x = 100 * torch.rand(1, 7, 1, 1, generator=torch.Generator().manual_seed(1))
    sums = torch.stack([(x[:, max(0, i - 2) : i + 3] ** 2).sum(1) for i in range(7)], 1)
    torch.testing.assert_close(layer(x), x / (2 + 1e-4 * sums) ** 0.75)


def test_standardized_weights_have_mean_0_and_a_variance_that_cancels_relu_and_fan_in() -> None:
    convolution = build("nf_resnet26").get_submodule("stages.1.0.conv2")
    weight = convolution.standardized().detach()
    gamma_squared = 2 / (1 - 1 / torch.pi)
    variance = convolution.gain.detach() ** 2 * gamma_squared / weight[0].numel()
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.zeros(128), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.var((1, 2, 3), correction=0), variance.flatten(), atol=0, rtol=0.02)


def test_a_seed_is_a_net_and_no_global_state_moves() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build("resnet18", seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["fc.weight"], other["fc.weight"])


@pytest.mark.parametrize("name", LIGHT)
def test_signals_keep_their_scale_and_statistics_are_not_trivial(name: str) -> None:
    net = build(name)
    assert not net.training
    x = torch.randn(2, *ZOO[name].input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = net(x)
    assert 0.1 < y.std() < 100
    assert (y[0] - y[1]).abs().max() > 0.02 * y.std()  # the input matters, not the biases alone
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean.abs().max() > 0.01
            assert 0.5 <= layer.running_var.min() < layer.running_var.max() <= 1.5
            assert 0.5 <= layer.weight.min() < layer.weight.max() <= 1.5


def test_residual_branches_are_damped_by_a_quarter() -> None:
    block = build("resnet18").get_submodule("layer3.1")
    assert block.conv2.weight.std().item() == pytest.approx(0.25 * block.conv1.weight.std().item(), rel=0.02)


def test_a_module_whose_values_nobody_fills_is_refused() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = nn.Parameter(torch.empty(3))
            self.register_buffer("table", torch.empty(3))

    with pytest.raises(AssertionError, match="Scaled owns gamma, table and has no `fill_own`"):
        fill(Scaled(), 0)


def test_number_of_classes() -> None:
    assert build("resnet18", num_classes=7).fc.weight.shape == (7, 512)
    with pytest.raises(UsageError, match="num_classes"):
        build("resnet18", num_classes=0)


def test_unknown_name_suggests_close_ones_or_the_list() -> None:
    with pytest.raises(UsageError, match="did you mean resnet50"):
        build("resnet-50")
    with pytest.raises(UsageError, match="`cnnc zoo` lists them"):
        build("transformer")


def test_without_pytorch_the_registry_lists_and_building_says_what_to_install() -> None:
    code = (
        "import importlib.util, json, cnnc.zoo\n"
        "from cnnc_runtime.errors import UsageError\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "try:\n    cnnc.zoo.build('lenet5')\n"
        "except UsageError as error:\n    print(json.dumps([list(cnnc.zoo.ZOO), str(error)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, message = json.loads(done.stdout)
    assert names == list(ZOO)
    assert "pip install 'cnnc[torch]'" in message
