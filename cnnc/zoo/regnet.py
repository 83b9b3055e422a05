"""RegNet (Radosavovic et al., Designing Network Design Spaces, 2020), with torchvision's module names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cnnc.zoo.senet import SqueezeExcitation


class RegNetBlock(nn.Module):
    """The Y block: 1x1, grouped 3x3, squeeze-and-excitation, 1x1, all of one width, and the shortcut around them."""

    residual_end = "f.c.0"

    def __init__(self, in_channels: int, channels: int, stride: int, group_width: int) -> None:
        super().__init__()
        same = stride == 1 and in_channels == channels
        self.proj = None if same else _conv_norm(in_channels, channels, 1, stride)
        self.f = nn.Sequential()
        self.f.add_module("a", _conv_norm(in_channels, channels, 1).append(nn.ReLU()))
        self.f.add_module("b", _conv_norm(channels, channels, 3, stride, channels // group_width).append(nn.ReLU()))
        self.f.add_module("se", SqueezeExcitation(channels, round(in_channels / 4)))
        self.f.add_module("c", _conv_norm(channels, channels, 1))
        self.activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/stride, W/stride)."""
        shortcut = x if self.proj is None else self.proj(x)
        out: torch.Tensor = self.activation(shortcut + self.f(x))
        return out


class RegNet(nn.Module):
    """A 3x3 stem, four stages that each halve the size, global average pooling, one fully connected layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores. `depths` and `widths` are the paper's quantized linear
    function of the block index, worked out.
    """

    def __init__(self, depths: Sequence[int], widths: Sequence[int], group_width: int, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = _conv_norm(3, 32, 3, stride=2).append(nn.ReLU())
        self.trunk_output = nn.Sequential()
        in_channels = 32
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            blocks = nn.Sequential()
            for index in range(depth):
                block = RegNetBlock(in_channels, width, 2 if index == 0 else 1, group_width)
                blocks.add_module(f"block{stage}-{index}", block)
                in_channels = width
            self.trunk_output.add_module(f"block{stage}", blocks)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.trunk_output(self.stem(x))
        scores: torch.Tensor = self.fc(self.avgpool(x).flatten(1))
        return scores


def _conv_norm(in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


def regnet_y_400mf(num_classes: int = 1000) -> RegNet:
    """4,344,144 parameters at 1000 classes (w_0 = 48, w_a = 27.89, w_m = 2.09)."""
    return RegNet((1, 3, 6, 6), (48, 104, 208, 440), 8, num_classes)
