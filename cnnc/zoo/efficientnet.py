"""EfficientNet (Tan and Le, EfficientNet, 2019), with torchvision's module names."""

from __future__ import annotations

import functools

import torch
from torch import nn

from cnnc.zoo.mobilenet_v3 import SqueezeExcitation, conv_norm_activation

# Expansion, kernel, the first block's stride, output channels and blocks of B0 (Table 1 of the paper).
_B0 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_conv = functools.partial(conv_norm_activation, activation=nn.SiLU)


class MBConv(nn.Module):
    """An inverted residual with SiLU and a squeeze-and-excitation whose width follows the block's input."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv(in_channels, hidden, kernel_size=1))
        layers += [
            _conv(hidden, hidden, kernel_size, stride, groups=hidden),
            SqueezeExcitation(hidden, in_channels // 4, activation=nn.SiLU),
            _conv(hidden, out_channels, kernel_size=1, activation=None),
        ]
        self.block = nn.Sequential(*layers)
        self.use_shortcut = stride == 1 and in_channels == out_channels
        self.residual_end = f"block.{len(layers) - 1}.0" if self.use_shortcut else ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y: torch.Tensor = self.block(x)
        return x + y if self.use_shortcut else y


class EfficientNet(nn.Module):
    """A 3x3 stem, seven stages of MBConv, a 1x1 convolution, pooling, one fully connected layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 5,288,548 parameters at 1000 classes (B0). The
    stochastic depth of training is the identity in inference and has no parameters; it is left out.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        stages: list[nn.Module] = [_conv(3, 32, kernel_size=3, stride=2)]
        channels = 32
        for expansion, kernel_size, first_stride, out_channels, depth in _B0:
            blocks = []
            for index in range(depth):
                stride = first_stride if index == 0 else 1
                blocks.append(MBConv(channels, out_channels, kernel_size, stride, expansion))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        stages.append(_conv(channels, 4 * channels, kernel_size=1))
        self.features = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * channels, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        scores: torch.Tensor = self.classifier(x)
        return scores
