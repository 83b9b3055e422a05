"""SE-ResNet (Hu et al., Squeeze-and-Excitation Networks, 2017), with timm's module names."""

from __future__ import annotations

import torch
from torch import nn

from cnnc.zoo.resnet import Bottleneck, ResNet


class SqueezeExcitation(nn.Module):
    """Each channel times a gate in (0, 1) that two dense layers compute from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same."""
        gate = self.gate(self.fc2(self.relu(self.fc1(self.avgpool(x)))))
        out: torch.Tensor = x * gate
        return out


class SEBottleneck(Bottleneck):
    """A bottleneck whose branch is gated, channel by channel, before it joins the shortcut; reduction 16."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, channels, stride)
        self.se = SqueezeExcitation(channels * self.expansion, channels * self.expansion // 16)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, 4*channels, H/stride, W/stride)."""
        out: torch.Tensor = self.se(super().residual(x))
        return out


def seresnet50(num_classes: int = 1000) -> ResNet:
    """28,088,024 parameters at 1000 classes."""
    return ResNet(SEBottleneck, (3, 4, 6, 3), num_classes)
