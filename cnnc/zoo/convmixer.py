"""ConvMixer (Trockman and Kolter, Patches Are All You Need?, 2022), with timm's module names."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


class Residual(nn.Module):
    """A function and the shortcut around it."""

    residual_end = "fn.0"

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        out: torch.Tensor = self.fn(x) + x
        return out


class Block(nn.Sequential):
    """Mix each channel in space by a depthwise convolution, with a shortcut, then the channels at each pixel."""

    weight_gains: ClassVar = {"1": 0.85}  # undoes the growth by the shortcut and the two BatchNorms' random scales

    def __init__(self, width: int, kernel_size: int) -> None:
        mix_space = nn.Sequential(
            nn.Conv2d(width, width, kernel_size, groups=width, padding="same"), nn.ReLU(), nn.BatchNorm2d(width)
        )
        mix_channels = nn.Conv2d(width, width, kernel_size=1)
        super().__init__(Residual(mix_space), mix_channels, nn.ReLU(), nn.BatchNorm2d(width))


class ConvMixer(nn.Module):
    """A patch stem, then blocks at one resolution: a depthwise convolution with its shortcut, then a 1x1 one.

    Every convolution is followed by ReLU, then BatchNorm, so that no norm can be folded into the convolution
    before it. Input (N, 3, 224, 224), output (N, num_classes) scores.
    """

    def __init__(self, width: int, depth: int, kernel_size: int, patch_size: int, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size), nn.ReLU(), nn.BatchNorm2d(width)
        )
        self.blocks = nn.Sequential(*(Block(width, kernel_size) for _ in range(depth)))
        self.pooling = nn.AdaptiveAvgPool2d((1, 1))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.blocks(self.stem(x))
        scores: torch.Tensor = self.head(torch.flatten(self.pooling(x), 1))
        return scores


def convmixer_768_32(num_classes: int = 1000) -> ConvMixer:
    """32 blocks of 768 channels, 7x7 kernels on 7x7 patches: 21,110,248 parameters at 1000 classes."""
    return ConvMixer(768, 32, kernel_size=7, patch_size=7, num_classes=num_classes)
