"""ResNet (He et al., Deep Residual Learning for Image Recognition, 2015) and its kin, with torchvision's module names.

Kin that differ by a class attribute of the block: Wide ResNet (Zagoruyko and Komodakis, 2016), ResNeXt (Xie et al.,
2016), ResNet-D (He et al., Bag of Tricks, 2018), Group Normalization (Wu and He, 2018).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import nn


class GroupNorm32(nn.GroupNorm):
    """Group Normalization with the paper's 32 groups, built from the channels alone, as BatchNorm2d is."""

    def __init__(self, channels: int) -> None:
        super().__init__(32, channels)


class ResidualBlock(nn.Module, abc.ABC):
    """relu(residual(x) + shortcut(x)); the shortcut is the identity where `downsample` is None."""

    expansion: int
    norm: type[nn.Module] = nn.BatchNorm2d
    relu: nn.Module
    downsample: nn.Module | None

    @abc.abstractmethod
    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """The branch beside the shortcut."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """The shortcut's 1x1 convolution (option B of the paper), where the shapes differ."""
        if stride == 1 and in_channels == out_channels:
            return None
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        return nn.Sequential(convolution, self.norm(out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, expansion*channels, H/stride, W/stride)."""
        y = self.residual(x)
        shortcut = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(y + shortcut)
        return out


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and the shortcut around them."""

    expansion = 1
    residual_end = "conv2"

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = self.norm(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = self.norm(channels)
        self.downsample = self.projection(in_channels, channels, stride)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        out: torch.Tensor = self.bn2(self.conv2(y))
        return out


class Bottleneck(ResidualBlock):
    """A 3x3 convolution between two 1x1 ones that narrow and widen, and the shortcut around them.

    The stride is in the 3x3 convolution ("v1.5", as torchvision and NVIDIA train it), or in the first 1x1 as in the
    paper where `stride_in_1x1`. The 3x3 has `groups`, and channels * base_width / 64 * groups channels.
    """

    expansion = 4
    residual_end = "conv3"
    stride_in_1x1 = False
    groups = 1
    base_width = 64

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        width = channels * self.base_width // 64 * self.groups
        strides = (stride, 1) if self.stride_in_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, stride=strides[0], bias=False)
        self.bn1 = self.norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=strides[1], padding=1, groups=self.groups, bias=False)
        self.bn2 = self.norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, bias=False)
        self.bn3 = self.norm(out_channels)
        self.relu = nn.ReLU()
        self.downsample = self.projection(in_channels, out_channels, stride)

    def residual(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, 4*channels, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        out: torch.Tensor = self.bn3(self.conv3(y))
        return out


class BottleneckV1(Bottleneck):
    """The paper's: the first 1x1 convolution reads every second pixel."""

    stride_in_1x1 = True


class WideBottleneck(Bottleneck):
    """Twice the channels in the 3x3 convolution."""

    base_width = 128


class ResNeXtBottleneck(Bottleneck):
    """Aggregated transformations, 32x4d: 32 groups of 4 channels in the first stage, of 8, 16, 32 in the next."""

    groups = 32
    base_width = 4


class GroupNormBottleneck(Bottleneck):
    """Group Normalization in place of BatchNorm; timm keeps the names bn1, bn2, bn3."""

    norm = GroupNorm32


class BottleneckD(Bottleneck):
    """The shortcut averages 2x2 pixels before a 1x1 convolution of stride 1, instead of dropping three of four."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """Average pooling, 1x1 convolution, BatchNorm, where the shapes differ."""
        if stride == 1 and in_channels == out_channels:
            return None
        pool = nn.Identity() if stride == 1 else nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(pool, nn.Conv2d(in_channels, out_channels, 1, bias=False), self.norm(out_channels))


class ResNet(nn.Module):
    """A stem of stride 4, four stages of residual blocks, global average pooling, one fully connected layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores. State dict keys are torchvision's, so that its
    checkpoints load. `stem` maps the image to 64 channels at stride 2; a 7x7 convolution if None.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: Sequence[int],
        num_classes: int = 1000,
        stem: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False) if stem is None else stem
        self.bn1 = block.norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = (64, 64 * block.expansion, 128 * block.expansion, 256 * block.expansion)
        self.layer1 = _stage(block, widths[0], 64, depths[0], stride=1)
        self.layer2 = _stage(block, widths[1], 128, depths[1], stride=2)
        self.layer3 = _stage(block, widths[2], 256, depths[2], stride=2)
        self.layer4 = _stage(block, widths[3], 512, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(
    block: type[BasicBlock | Bottleneck], in_channels: int, channels: int, depth: int, stride: int
) -> nn.Sequential:
    first = block(in_channels, channels, stride)
    rest = [block(channels * block.expansion, channels) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


def _deep_stem() -> nn.Sequential:
    """ResNet-C's three 3x3 convolutions in place of the 7x7; BatchNorm and ReLU after the last are the net's own."""
    return nn.Sequential(
        nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False),
    )


def resnet18(num_classes: int = 1000) -> ResNet:
    """11,689,512 parameters at 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes)


def resnet34(num_classes: int = 1000) -> ResNet:
    """21,797,672 parameters at 1000 classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes)


def resnet50(num_classes: int = 1000) -> ResNet:
    """25,557,032 parameters at 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes)


def resnet50_v1(num_classes: int = 1000) -> ResNet:
    """ResNet-50 with the paper's strides: 25,557,032 parameters at 1000 classes."""
    return ResNet(BottleneckV1, (3, 4, 6, 3), num_classes)


def resnet50d(num_classes: int = 1000) -> ResNet:
    """ResNet-50-D, timm's: 25,576,264 parameters at 1000 classes."""
    return ResNet(BottleneckD, (3, 4, 6, 3), num_classes, _deep_stem())


def resnet50_gn(num_classes: int = 1000) -> ResNet:
    """ResNet-50 with Group Normalization, timm's: 25,557,032 parameters at 1000 classes."""
    return ResNet(GroupNormBottleneck, (3, 4, 6, 3), num_classes)


def wide_resnet50_2(num_classes: int = 1000) -> ResNet:
    """Wide ResNet-50-2: 68,883,240 parameters at 1000 classes."""
    return ResNet(WideBottleneck, (3, 4, 6, 3), num_classes)


def resnext50_32x4d(num_classes: int = 1000) -> ResNet:
    """ResNeXt-50 32x4d: 25,028,904 parameters at 1000 classes."""
    return ResNet(ResNeXtBottleneck, (3, 4, 6, 3), num_classes)
