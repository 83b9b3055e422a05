"""Normalization in modules: instance statistics, whole residual networks, and the mode a module comes in."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from cnnc.zoo.resnet import BasicBlock, Bottleneck, ResNet
from tests.cases.harness import check_module, nodes_of
from tests.nets import randomize_statistics

# --- pytorch #53887, #72057, #94604, #173782: instance normalization, with and without running statistics


class InstanceNormalizations(nn.Module):
    """Every combination of learned scales and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norms = nn.ModuleList(
            nn.InstanceNorm2d(3, affine=affine, track_running_stats=tracked)
            for affine in (True, False)
            for tracked in (True, False)
        )
        for name, tensor in self.norms.state_dict().items():
            low, high = (0.5, 1.5) if name.endswith("running_var") else (-1.5, 1.5)
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, low, high)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.conv(x)
        return tuple(norm(x) for norm in self.norms)


def test_instance_normalization_in_eval_mode() -> None:
    check_module(InstanceNormalizations().eval(), torch.zeros(2, 3, 6, 6), batches=(2, 3))


def test_normalization_without_running_statistics_uses_those_of_the_batch() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    check_module(net, torch.zeros(2, 3, 6, 6), batches=(2, 3))


# --- pytorch #166797, #169178, #168224: the exporter's own fold gives ResNets biases of a wrong shape


@pytest.mark.parametrize(
    ("block", "depths"), [(BasicBlock, (2, 2, 2, 2)), (Bottleneck, (2, 1, 1, 1))], ids=["resnet18", "bottlenecks"]
)
def test_residual_network_has_one_bias_an_output_channel(
    block: type[BasicBlock | Bottleneck], depths: tuple[int, ...]
) -> None:
    net = ResNet(block, depths, num_classes=10)
    randomize_statistics(net)
    artifact = check_module(net, torch.zeros(1, 3, 17, 17), batches=(1, 3))
    shapes = {tensor.name: tuple(tensor.dims) for tensor in artifact.graph.initializer}
    convolutions = nodes_of(artifact, "Conv")
    assert len(convolutions) == sum(isinstance(m, nn.Conv2d) for m in net.modules())
    assert not nodes_of(artifact, "BatchNormalization")
    for conv in convolutions:
        assert shapes[conv.input[2]] == (shapes[conv.input[1]][0],)


# --- onnxruntime #26584: a backbone that was frozen, or not, and a module handed over in training mode


class Backbone(nn.Module):
    """A frozen normalization in a network that is still being trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5))
        randomize_statistics(self)
        self.train()
        self.stem.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.stem(x)))


def test_module_in_training_mode_is_exported_in_eval_mode_and_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    net = Backbone()
    modes = {name: m.training for name, m in net.named_modules()}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="cnnc"):
        artifact = check_module(net, torch.zeros(2, 3, 8, 8))
    assert "Backbone is in train mode: exported in eval mode" in caplog.text
    assert {name: m.training for name, m in net.named_modules()} == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not nodes_of(artifact, "BatchNormalization") and not nodes_of(artifact, "Dropout")
