"""Networks whose kernels are told apart, and their analyses."""

from __future__ import annotations

import functools

import onnx_ir as ir
import torch
from torch import nn

from cnnc.analysis import Analysis, analyze_model
from cnnc.analysis.timing import Ceilings
from cnnc.export import export
from cnnc_passes.pipeline import Target, optimize, pipeline_for

MACHINE = Ceilings(flops_per_second=100e9, bytes_per_second=10e9, how="as an example")


class Squeeze(nn.Module):
    """Squeeze and excitation: scales each channel by what two small convolutions make of its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Mixed(nn.Module):
    """Conv-BN-ReLU, depthwise, squeeze and excitation, a sum, a concatenation, a classifier, hard swish."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.depthwise, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.act = nn.ReLU6()
        self.se, self.left, self.right = Squeeze(), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.fc, self.swish = nn.Linear(32, 10), nn.Hardswish()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = x + self.se(self.act(self.bn2(self.depthwise(x))))
        x = torch.cat([self.left(x), torch.relu(self.right(x))], 1)
        return self.swish(self.fc(x.mean((2, 3))))


class Normalized(nn.Module):
    """A BatchNorm that no convolution can take in, and a ReLU that a convolution after it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 16, 1), nn.BatchNorm2d(32), nn.Conv2d(32, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.b(torch.relu(self.norm(torch.cat([x, x], 1))))


@functools.cache
def analyzed(net: type[nn.Module], target: Target | None = None) -> tuple[ir.Model, Analysis]:
    """As exported, or rewritten for `target`."""
    if target is not None:
        model = analyzed(net)[0].clone()
        optimize(model, pipeline_for(target))
        return model, analyze_model(model, name="net")
    model = export(net().eval(), (torch.zeros(2, 3, 16, 16),))
    return model, analyze_model(model, name="net")
