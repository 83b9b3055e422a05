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
from cnnc_runtime.errors import UsageError

MACS = {
    "lenet5": 416_520,
    "alexnet": 714_188_480,
    "vgg16": 15_470_264_320,
    "resnet18": 1_814_073_344,
    "resnet34": 3_663_761_408,
    "resnet50": 4_089_184_256,
}
LIGHT = [name for name in ZOO if name not in ("vgg16", "alexnet")]


def on_meta(name: str) -> nn.Module:
    """The net without memory for its weights."""
    family, factory = ZOO[name].factory.split(":")
    with torch.device("meta"):
        module: nn.Module = getattr(importlib.import_module(f"cnnc.zoo.{family}"), factory)()
    return module.eval()


@pytest.mark.parametrize("name", ZOO)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
    """MACs counted by PyTorch's own counter, which knows nothing of our formulas."""
    module = on_meta(name)
    assert sum(p.numel() for p in module.parameters()) == ZOO[name].params
    with FlopCounterMode(display=False) as counter:
        y = module(torch.zeros(1, *ZOO[name].input_shape, device="meta"))
    assert counter.get_total_flops() == 2 * MACS[name]
    assert y.shape == (1, 10 if name == "lenet5" else 1000)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("resnet18", ["conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "fc.bias"]),
        ("resnet50", ["layer1.0.conv3.weight", "layer1.0.downsample.1.num_batches_tracked", "layer3.5.bn3.weight"]),
        ("alexnet", ["features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.6.bias"]),
        ("vgg16", ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.6.bias"]),
    ],
)  # fmt: skip
def test_state_dict_keys_are_torchvisions(name: str, keys: list[str]) -> None:
    state = on_meta(name).state_dict()
    assert set(keys) <= set(state)
    assert len(state) == {"resnet18": 122, "resnet50": 320, "alexnet": 16, "vgg16": 32}[name]


def test_strides_of_resnet50_are_in_the_3x3_convolutions() -> None:
    block = on_meta("resnet50").get_submodule("layer2.0")
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))


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
    x = torch.randn(4, *ZOO[name].input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = net(x)
    assert 0.1 < y.std() < 100
    assert (y[0] - y[1]).abs().max() > 1e-3  # the input matters, not the biases alone
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean.abs().max() > 0.01
            assert 0.5 <= layer.running_var.min() < layer.running_var.max() <= 1.5
            assert 0.5 <= layer.weight.min() < layer.weight.max() <= 1.5


def test_number_of_classes() -> None:
    assert build("resnet18", num_classes=7).fc.weight.shape == (7, 512)
    with pytest.raises(UsageError, match="num_classes"):
        build("resnet18", num_classes=0)


def test_unknown_name_lists_close_ones() -> None:
    with pytest.raises(UsageError, match="did you mean resnet50"):
        build("resnet-50")
    with pytest.raises(UsageError, match="there are lenet5, alexnet"):
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
