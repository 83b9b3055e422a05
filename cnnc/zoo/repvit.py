"""RepViT as trained (Wang et al., RepViT: Revisiting Mobile CNN From ViT Perspective, 2023), with timm's names."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

_WIDTHS = (48, 96, 192, 384)  # the M0.9 net
_DEPTHS = (2, 2, 14, 2)


class ConvNorm(nn.Sequential):
    """A convolution without bias, then BatchNorm; it keeps H and W at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        padding = kernel_size // 2
        self.c = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)


class TokenMixer(nn.Module):
    """The sum of a 3x3 depthwise, a 1x1 depthwise and the identity branch, then BatchNorm.

    In inference the whole is one 3x3 depthwise convolution.
    """

    residual_end = ("conv.c", "conv1")

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, channels, kernel_size=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=1, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        out: torch.Tensor = self.bn(self.conv(x) + self.conv1(x) + x)
        return out


class ChannelMixer(nn.Module):
    """Two 1x1 convolutions that widen twofold and narrow, with GELU between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, 2 * channels)
        self.act = nn.GELU()
        self.conv2 = ConvNorm(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        out: torch.Tensor = self.conv2(self.act(self.conv1(x)))
        return out


class SqueezeExcite(nn.Module):
    """Scale each channel by a sigmoid gate made from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = (channels // 4 + 4) // 8 * 8  # a quarter, to the nearest multiple of 8
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        means = x.mean((2, 3), keepdim=True)
        out: torch.Tensor = x * self.gate(self.fc2(self.act(self.fc1(means))))
        return out


class Block(nn.Module):
    """Mix each channel in space, then all channels at each pixel, with a shortcut around the second."""

    residual_end = "channel_mixer.conv2.c"

    def __init__(self, channels: int, squeeze: bool) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(channels)
        self.se = SqueezeExcite(channels) if squeeze else nn.Identity()
        self.channel_mixer = ChannelMixer(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        x = self.se(self.token_mixer(x))
        out: torch.Tensor = x + self.channel_mixer(x)
        return out


class Downsample(nn.Module):
    """Halve H and W by a depthwise convolution, change the width by a 1x1 one; a block before, a mixer after."""

    residual_end = "ffn.conv2.c"
    weight_gains: ClassVar = dict.fromkeys(("spatial_downsample.c", "channel_downsample.c"), 0.5**0.5)  # no activation

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pre_block = Block(in_channels, squeeze=False)
        self.spatial_downsample = ConvNorm(in_channels, in_channels, kernel_size=3, stride=2, groups=in_channels)
        self.channel_downsample = ConvNorm(in_channels, out_channels)
        self.ffn = ChannelMixer(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/2, W/2)."""
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        out: torch.Tensor = x + self.ffn(x)
        return out


class Stage(nn.Module):
    """Blocks at one resolution; every other one has a squeeze-and-excitation."""

    def __init__(self, in_channels: int, channels: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if in_channels == channels else Downsample(in_channels, channels)
        self.blocks = nn.Sequential(*(Block(channels, squeeze=index % 2 == 0) for index in range(depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, channels, H/2, W/2), or the same shape in the first stage."""
        out: torch.Tensor = self.blocks(self.downsample(x))
        return out


class NormLinear(nn.Sequential):
    """BatchNorm, then a fully connected layer."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)
        self.l = nn.Linear(channels, num_classes)


class Classifier(nn.Module):
    """The mean of two heads: the second learned from the labels of a teacher net (distillation)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.head = NormLinear(channels, num_classes)
        self.head_dist = NormLinear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels) -> (N, num_classes)."""
        scores: torch.Tensor = (self.head(x) + self.head_dist(x)) / 2
        return scores


class RepViT(nn.Module):
    """A two-convolution stem, four stages, pooling, two heads; with the branches of training.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 5,489,328 parameters as trained, both heads
    included, at 1000 classes (the M0.9 net).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.conv1 = ConvNorm(3, _WIDTHS[0] // 2, kernel_size=3, stride=2)
        self.stem.act1 = nn.GELU()
        self.stem.conv2 = ConvNorm(_WIDTHS[0] // 2, _WIDTHS[0], kernel_size=3, stride=2)
        channels = (_WIDTHS[0], *_WIDTHS)
        self.stages = nn.Sequential(*(Stage(channels[i], channels[i + 1], depth) for i, depth in enumerate(_DEPTHS)))
        self.global_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.head = Classifier(_WIDTHS[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.stages(self.stem(x))
        scores: torch.Tensor = self.head(torch.flatten(self.global_pool(x), 1))
        return scores
