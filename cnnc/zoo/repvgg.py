"""RepVGG as trained (Ding et al., RepVGG: Making VGG-style ConvNets Great Again, 2021), with timm's module names."""

from __future__ import annotations

import torch
from torch import nn

# Output channels and blocks of A0 (Table 2 of the paper); each stage begins with stride 2.
_A0 = ((48, 2), (96, 4), (192, 14), (1280, 1))


class ConvNorm(nn.Module):
    """A convolution without bias, its BatchNorm, no activation; it keeps H and W at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        out: torch.Tensor = self.bn(self.conv(x))
        return out


class RepVGGBlock(nn.Module):
    """The sum of a 3x3, a 1x1 and, where shapes agree, an identity branch, each with a BatchNorm; then ReLU.

    In inference the three are one 3x3 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        same = stride == 1 and in_channels == out_channels
        self.identity = nn.BatchNorm2d(out_channels) if same else None
        self.conv_kxk = ConvNorm(in_channels, out_channels, kernel_size=3, stride=stride)
        self.conv_1x1 = ConvNorm(in_channels, out_channels, kernel_size=1, stride=stride)
        self.act = nn.ReLU()
        branches = ("conv_kxk.conv", "conv_1x1.conv")
        # The variances of a sum add up; beside an identity they are the residual branch.
        self.weight_gains = dict.fromkeys(branches, (0.25 if same else 1.0) * 0.5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y = self.conv_1x1(x) + self.conv_kxk(x)
        if self.identity is not None:
            y = y + self.identity(x)
        out: torch.Tensor = self.act(y)
        return out


class Head(nn.Module):
    """Global average pooling and one fully connected layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.global_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> (N, num_classes)."""
        scores: torch.Tensor = self.fc(torch.flatten(self.global_pool(x), 1))
        return scores


class RepVGG(nn.Module):
    """A stem block and four stages, with the branches of training.

    Input (N, 3, 224, 224), output (N, num_classes) scores.
    """

    def __init__(self, stages: tuple[tuple[int, int], ...], num_classes: int = 1000) -> None:
        super().__init__()
        channels = min(64, stages[0][0])
        self.stem = RepVGGBlock(3, channels, stride=2)
        layers = []
        for out_channels, depth in stages:
            rest = [RepVGGBlock(out_channels, out_channels, stride=1) for _ in range(depth - 1)]
            layers.append(nn.Sequential(RepVGGBlock(channels, out_channels, stride=2), *rest))
            channels = out_channels
        self.stages = nn.Sequential(*layers)
        self.head = Head(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.head(self.stages(self.stem(x)))
        return scores


def repvgg_a0(num_classes: int = 1000) -> RepVGG:
    """9,108,968 parameters as trained, at 1000 classes."""
    return RepVGG(_A0, num_classes)
