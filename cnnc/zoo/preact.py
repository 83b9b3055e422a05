"""Pre-activation ResNet (He et al., Identity Mappings in Deep Residual Networks, 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class PreActBlock(nn.Module):
    """BatchNorm and ReLU before each 3x3 convolution; nothing after the sum.

    Where the shapes differ, the shortcut is a 1x1 convolution of the activated input. `activated` says that the
    input already went through BatchNorm and ReLU: the stem's, before the first block.
    """

    residual_end = "conv2"

    def __init__(self, in_channels: int, channels: int, stride: int = 1, activated: bool = False) -> None:
        super().__init__()
        self.bn1 = None if activated else nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        same = stride == 1 and in_channels == channels
        self.downsample = None if same else nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)."""
        y = x if self.bn1 is None else self.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(y)
        out: torch.Tensor = self.conv2(self.relu(self.bn2(self.conv1(y)))) + shortcut
        return out


class PreActResNet(nn.Module):
    """The ImageNet net of the authors' Torch code: the stem is activated, the last sum too, by `norm`.

    Input (N, 3, 224, 224), output (N, num_classes) scores. Modules are named as in torchvision's ResNet; the last
    BatchNorm, which that one lacks, is `norm` as in timm's ResNetV2.
    """

    def __init__(self, depths: Sequence[int], num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            PreActBlock(64, 64, activated=True), *(PreActBlock(64, 64) for _ in range(depths[0] - 1))
        )
        self.layer2 = _stage(64, 128, depths[1])
        self.layer3 = _stage(128, 256, depths[2])
        self.layer4 = _stage(256, 512, depths[3])
        self.norm = nn.BatchNorm2d(512)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.relu(self.norm(x))
        scores: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(in_channels: int, channels: int, depth: int) -> nn.Sequential:
    first = PreActBlock(in_channels, channels, stride=2)
    return nn.Sequential(first, *(PreActBlock(channels, channels) for _ in range(depth - 1)))


def preactresnet18(num_classes: int = 1000) -> PreActResNet:
    """11,687,720 parameters at 1000 classes: 1,792 fewer than ResNet-18, whose shortcuts have BatchNorms."""
    return PreActResNet((2, 2, 2, 2), num_classes)
