"""The modern reference nets: published sizes and costs, checkpoint names, shapes, signals of sane scale."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnnc.zoo import ZOO, build
from tests.compiler.zoo_facts_modern import KEYS, MACS, PUBLISHED_GMACS, SHAPES, TIMM_GMACS, WITH_AUXILIARY_HEAD

HEAVY = ("convmixer_768_32", "unet", "fcn_resnet50", "deeplabv3_resnet50", "c3d", "r3d_18", "r2plus1d_18", "s3d", "i3d")
LIGHT = [name for name in MACS if name not in HEAVY]


def on_meta(name: str, *arguments: int) -> nn.Module:
    """The net without memory for its weights."""
    family, factory = ZOO[name].factory.split(":")
    with torch.device("meta"):
        module: nn.Module = getattr(importlib.import_module(f"cnnc.zoo.{family}"), factory)(*arguments)
    return module.eval()


def run(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The one output, taken out of a segmentation net's dict."""
    y = module(x)
    if isinstance(y, dict):
        assert list(y) == ["out"]
        y = y["out"]
    assert isinstance(y, torch.Tensor)
    return y


def counted(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, torch.Size]:
    """MACs by PyTorch's own counter, which knows nothing of our formulas, and the output's shape."""
    with FlopCounterMode(display=False) as counter:
        y = run(module, torch.zeros(1, *shape, device="meta"))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2, y.shape


@pytest.mark.parametrize("name", MACS)
def test_parameters_macs_and_shapes(name: str) -> None:
    entry, module = ZOO[name], on_meta(name)
    assert sum(p.numel() for p in module.parameters()) == entry.params
    assert counted(module, entry.input_shape) == (MACS[name], SHAPES[name])
    assert SHAPES[name][1] == entry.num_classes


def test_macs_are_the_published_ones() -> None:
    for name, gmacs in PUBLISHED_GMACS.items():
        digits = len(str(gmacs).split(".")[1])
        assert round(MACS[name] / 1e9, digits) == gmacs, name
    for name, gmacs in TIMM_GMACS.items():
        assert MACS[name] / 1e9 < gmacs < 1.1 * MACS[name] / 1e9, name


@pytest.mark.parametrize("name", WITH_AUXILIARY_HEAD)
def test_segmentation_nets_are_torchvisions_without_the_auxiliary_head(name: str) -> None:
    """The head has a 3x3 convolution from layer3's 1024 channels to 256, BatchNorm, a 1x1 to 21 with bias."""
    params, gmacs = WITH_AUXILIARY_HEAD[name]
    weights = 1024 * 256 * 9 + 256 * 21
    assert ZOO[name].params + weights + 2 * 256 + 21 == params
    macs, shape = counted(on_meta(name), (3, 520, 520))
    assert round((macs + weights * 65 * 65) / 1e9, 3) == gmacs  # at an eighth of the resolution
    assert shape == (1, 21, 520, 520)


@pytest.mark.parametrize("name", KEYS)
def test_state_dict_keys_are_those_of_the_checkpoints(name: str) -> None:
    count, keys = KEYS[name]
    state = on_meta(name).state_dict()
    assert len(state) == count
    assert set(keys) <= set(state)


@pytest.mark.parametrize("name", MACS)
def test_number_of_classes(name: str) -> None:
    y = run(on_meta(name, 7), torch.zeros(1, *ZOO[name].input_shape, device="meta"))
    assert y.shape == (1, 7, *SHAPES[name][2:])


@pytest.mark.parametrize("name", LIGHT)
def test_signals_keep_their_scale_and_statistics_are_not_trivial(name: str) -> None:
    net = build(name)
    assert not net.training
    x = torch.randn(2, *ZOO[name].input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = run(net, x)
    assert 0.1 < y.std() < 100
    assert (y[0] - y[1]).abs().max() > 1e-3  # the input matters, not the biases alone
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_mean.abs().max() > 0.01
            assert layer.running_var is not None and layer.running_var.max() > 1.1 > 0.9 > layer.running_var.min()


def test_shuffle_is_pytorchs() -> None:
    from cnnc.zoo.shufflenet import _shuffle

    x = torch.arange(2 * 12 * 3 * 3, dtype=torch.float32).reshape(2, 12, 3, 3)
    assert torch.equal(_shuffle(x, 2), F.channel_shuffle(x, 2))


def test_backbone_dilates_where_resnet_strides() -> None:
    backbone = on_meta("fcn_resnet50").get_submodule("backbone")
    dilations = [backbone.get_submodule(f"layer{i}.{j}.conv2").dilation for i in (3, 4) for j in (0, 1)]
    assert dilations == [(1, 1), (2, 2), (2, 2), (4, 4)]
    assert backbone(torch.zeros(1, 3, 64, 64, device="meta")).shape == (1, 2048, 8, 8)


@pytest.mark.parametrize(("name", "branches"), [("repvgg_a0", 3), ("mobileone_s0", 6)])
def test_a_block_is_one_convolution_in_inference(name: str, branches: int) -> None:
    """The sum of the branches is affine and reads 3x3 pixels: one impulse a channel gives the merged kernel."""
    block = build(name).get_submodule({"repvgg_a0": "stages.0.1", "mobileone_s0": "stages.1.2"}[name])
    block.act = nn.Identity()
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in block.modules()) == branches
    channels = block.identity.num_features
    block = block.double()
    with torch.no_grad():
        impulses = torch.zeros(channels, channels, 5, 5, dtype=torch.float64)
        impulses[range(channels), range(channels), 2, 2] = 1
        bias = block(torch.zeros(1, channels, 5, 5, dtype=torch.float64))[0, :, 2, 2]
        kernel = (block(impulses) - bias[:, None, None]).transpose(0, 1)[:, :, 1:4, 1:4].flip(2, 3)
        x = torch.randn(2, channels, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(block(x), F.conv2d(x, kernel, bias, padding=1))


def test_repvit_scores_are_the_mean_of_two_heads() -> None:
    head = build("repvit_m0_9").get_submodule("head")
    x = torch.randn(2, 384, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(2 * head(x), head.head(x) + head.head_dist(x))
        assert (head.head(x) - head.head_dist(x)).abs().max() > 0.1


def test_convnext_blocks_matter() -> None:
    """Layer scales have a trained net's size: at the 1e-6 that training begins with, no block would show."""
    scales = [p for name, p in build("convnext_tiny").named_parameters() if name.endswith("layer_scale")]
    assert len(scales) == 18
    assert all(0.1 <= scale.min() < scale.max() <= 0.4 for scale in scales)


def test_open_sizes() -> None:
    """A U-Net takes any multiple of 16; the segmentation and the clip nets any size that leaves a value."""
    meta = torch.device("meta")
    assert on_meta("unet")(torch.zeros(1, 3, 32, 48, device=meta)).shape == (1, 2, 32, 48)
    assert run(on_meta("deeplabv3_resnet50"), torch.zeros(1, 3, 65, 97, device=meta)).shape == (1, 21, 65, 97)
    assert on_meta("s3d")(torch.zeros(1, 3, 32, 256, 256, device=meta)).shape == (1, 400)
    assert on_meta("r2plus1d_18")(torch.zeros(1, 3, 8, 64, 64, device=meta)).shape == (1, 400)
