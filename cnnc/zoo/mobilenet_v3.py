"""MobileNetV3 (Howard et al., Searching for MobileNetV3, 2019), with torchvision's module names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import nn

# Kernel, hidden channels, output channels, squeeze-and-excitation, hard swish, stride (Tables 1 and 2 of the paper).
_Row = tuple[int, int, int, bool, bool, int]
_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate made from all channels' means (Hu et al., Squeeze-and-Excitation, 2017)."""

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, kernel_size=1)
        self.fc2 = nn.Conv2d(squeezed, channels, kernel_size=1)
        self.activation = activation()
        self.scale_activation = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        gate = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        out: torch.Tensor = gate * x
        return out


def conv_norm_activation(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    *,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    activation: Callable[[], nn.Module] | None,
) -> nn.Sequential:
    """A convolution that keeps H and W at stride 1, its normalization and its activation, if any."""
    padding = kernel_size // 2
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    layers = [convolution, norm(out_channels)]
    return nn.Sequential(*layers) if activation is None else nn.Sequential(*layers, activation())


_conv = functools.partial(conv_norm_activation, norm=functools.partial(nn.BatchNorm2d, eps=0.001, momentum=0.01))


class InvertedResidual(nn.Module):
    """MobileNetV2's block with a kernel size, an activation and a squeeze-and-excitation of its own."""

    def __init__(self, in_channels: int, row: _Row) -> None:
        super().__init__()
        kernel_size, hidden, out_channels, squeeze, hard_swish, stride = row
        activation = nn.Hardswish if hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(_conv(in_channels, hidden, kernel_size=1, activation=activation))
        layers.append(_conv(hidden, hidden, kernel_size, stride, groups=hidden, activation=activation))
        if squeeze:
            layers.append(SqueezeExcitation(hidden, _eighths(hidden // 4), gate=nn.Hardsigmoid))
        layers.append(_conv(hidden, out_channels, kernel_size=1, activation=None))
        self.block = nn.Sequential(*layers)
        self.use_shortcut = stride == 1 and in_channels == out_channels
        self.residual_end = f"block.{len(layers) - 1}.0" if self.use_shortcut else ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y: torch.Tensor = self.block(x)
        return x + y if self.use_shortcut else y


class MobileNetV3(nn.Module):
    """A 3x3 stem, inverted residuals, a 1x1 convolution, pooling, two fully connected layers.

    Input (N, 3, 224, 224), output (N, num_classes) scores.
    """

    def __init__(self, rows: Sequence[_Row], last_channels: int, num_classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 16, kernel_size=3, stride=2, activation=nn.Hardswish)]
        channels = 16
        for row in rows:
            layers.append(InvertedResidual(channels, row))
            channels = row[2]
        layers.append(_conv(channels, 6 * channels, kernel_size=1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channels),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(last_channels, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        scores: torch.Tensor = self.classifier(x)
        return scores


def _eighths(channels: int) -> int:
    """The nearest multiple of 8, or the next one where that would lose more than a tenth (the authors' rounding)."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def mobilenet_v3_large(num_classes: int = 1000) -> MobileNetV3:
    """5,483,032 parameters at 1000 classes."""
    return MobileNetV3(_LARGE, 1280, num_classes)


def mobilenet_v3_small(num_classes: int = 1000) -> MobileNetV3:
    """2,542,856 parameters at 1000 classes."""
    return MobileNetV3(_SMALL, 1024, num_classes)
