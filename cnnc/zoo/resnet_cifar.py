"""The CIFAR-10 nets of the ResNet paper (He et al., 2015, section 4.2): 6n+2 layers, residual and plain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and no shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def convolutions(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride), before the last ReLU."""
        y = self.relu(self.bn1(self.conv1(x)))
        out: torch.Tensor = self.bn2(self.conv2(y))
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)."""
        out: torch.Tensor = self.relu(self.convolutions(x))
        return out


class CifarBlock(PlainBlock):
    """The two convolutions and a shortcut without parameters (option A): every second pixel, zeros as new channels."""

    residual_end = "conv2"

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, stride)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)."""
        shortcut = x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new_channels))
        out: torch.Tensor = self.relu(self.convolutions(x) + shortcut)
        return out


class CifarResNet(nn.Module):
    """A 3x3 stem, three stages of n blocks with 16, 32, 64 channels, global average pooling, one dense layer.

    Input (N, 3, 32, 32), output (N, num_classes) scores. Modules are named as in torchvision's ResNet.
    """

    def __init__(self, block: type[PlainBlock], n: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(block, 16, 16, n, stride=1)
        self.layer2 = _stage(block, 16, 32, n, stride=2)
        self.layer3 = _stage(block, 32, 64, n, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(block: type[PlainBlock], in_channels: int, channels: int, n: int, stride: int) -> nn.Sequential:
    return nn.Sequential(block(in_channels, channels, stride), *(block(channels, channels, 1) for _ in range(n - 1)))


def resnet20(num_classes: int = 10) -> CifarResNet:
    """269,722 parameters at 10 classes: the paper's 0.27M."""
    return CifarResNet(CifarBlock, 3, num_classes)


def resnet56(num_classes: int = 10) -> CifarResNet:
    """853,018 parameters at 10 classes: the paper's 0.85M."""
    return CifarResNet(CifarBlock, 9, num_classes)


def plain20(num_classes: int = 10) -> CifarResNet:
    """269,722 parameters at 10 classes, as the residual net: its shortcuts have none."""
    return CifarResNet(PlainBlock, 3, num_classes)


def plain56(num_classes: int = 10) -> CifarResNet:
    """853,018 parameters at 10 classes, as the residual net: its shortcuts have none."""
    return CifarResNet(PlainBlock, 9, num_classes)
