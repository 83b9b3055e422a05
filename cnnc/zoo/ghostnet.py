"""GhostNet (Han et al., GhostNet: More Features from Cheap Operations, 2020), with timm's module names."""

from __future__ import annotations

import torch
from torch import nn

# Kernel, hidden channels, output channels, squeeze-and-excitation, stride: one tuple a resolution and width (Table 1).
_Row = tuple[int, int, int, bool, int]
_STAGES: tuple[tuple[_Row, ...], ...] = (
    ((3, 16, 16, False, 1),),
    ((3, 48, 24, False, 2),),
    ((3, 72, 24, False, 1),),
    ((5, 72, 40, True, 2),),
    ((5, 120, 40, True, 1),),
    ((3, 240, 80, False, 2),),
    (
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
    ),
    ((5, 672, 160, True, 2),),
    ((5, 960, 160, False, 1), (5, 960, 160, True, 1), (5, 960, 160, False, 1), (5, 960, 160, True, 1)),
)
_HIDDEN, _FEATURES = 960, 1280  # of the two last 1x1 convolutions


class GhostModule(nn.Module):
    """Half of the output channels by a 1x1 convolution, the other half by a 3x3 depthwise one on the first."""

    def __init__(self, in_channels: int, out_channels: int, relu: bool) -> None:
        super().__init__()
        half = out_channels // 2
        activation = nn.ReLU if relu else nn.Identity
        self.primary_conv = nn.Sequential(
            nn.Conv2d(in_channels, half, kernel_size=1, bias=False), nn.BatchNorm2d(half), activation()
        )
        self.cheap_operation = nn.Sequential(_depthwise(half, 3, stride=1), nn.BatchNorm2d(half), activation())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        primary = self.primary_conv(x)
        return torch.cat([primary, self.cheap_operation(primary)], dim=1)


class SqueezeExcite(nn.Module):
    """Scale each channel by a hard-sigmoid gate made from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(4, (channels // 4 + 2) // 4 * 4)  # a quarter, to the nearest multiple of 4
        self.conv_reduce = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.act1 = nn.ReLU()
        self.conv_expand = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        means = x.mean((2, 3), keepdim=True)
        out: torch.Tensor = x * self.gate(self.conv_expand(self.act1(self.conv_reduce(means))))
        return out


class GhostBottleneck(nn.Module):
    """Two ghost modules that widen and narrow, a depthwise convolution between them at stride 2, the shortcut."""

    residual_end = "ghost2.primary_conv.0"  # the cheap half is made from this one

    def __init__(self, in_channels: int, row: _Row) -> None:
        super().__init__()
        kernel_size, hidden, out_channels, squeeze, stride = row
        self.ghost1 = GhostModule(in_channels, hidden, relu=True)
        self.conv_dw = _depthwise(hidden, kernel_size, stride) if stride > 1 else None
        self.bn_dw = nn.BatchNorm2d(hidden) if stride > 1 else None
        self.se = SqueezeExcite(hidden) if squeeze else None
        self.ghost2 = GhostModule(hidden, out_channels, relu=False)
        self.shortcut = nn.Sequential()
        linear = ["conv_dw"] if stride > 1 else []  # convolutions that no activation follows
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                _depthwise(in_channels, kernel_size, stride),
                nn.BatchNorm2d(in_channels),
                nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
            linear += ["shortcut.0", "shortcut.2"]
        self.weight_gains = dict.fromkeys(linear, 0.5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y = self.ghost1(x)
        if self.conv_dw is not None and self.bn_dw is not None:
            y = self.bn_dw(self.conv_dw(y))
        if self.se is not None:
            y = self.se(y)
        out: torch.Tensor = self.ghost2(y) + self.shortcut(x)
        return out


class ConvBnAct(nn.Module):
    """A 1x1 convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        out: torch.Tensor = self.act(self.bn1(self.conv(x)))
        return out


class GhostNet(nn.Module):
    """A 3x3 stem, sixteen ghost bottlenecks, pooling between the two last 1x1 convolutions.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 5,182,508 parameters at 1000 classes.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 16, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = nn.ReLU()
        channels = 16
        stages: list[nn.Module] = []
        for stage in _STAGES:
            blocks = []
            for row in stage:
                blocks.append(GhostBottleneck(channels, row))
                channels = row[2]
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages, nn.Sequential(ConvBnAct(channels, _HIDDEN)))
        self.global_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.conv_head = nn.Conv2d(_HIDDEN, _FEATURES, kernel_size=1)
        self.act2 = nn.ReLU()
        self.classifier = nn.Linear(_FEATURES, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.blocks(self.act1(self.bn1(self.conv_stem(x))))
        x = self.act2(self.conv_head(self.global_pool(x)))
        scores: torch.Tensor = self.classifier(torch.flatten(x, 1))
        return scores


def _depthwise(channels: int, kernel_size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=False)
