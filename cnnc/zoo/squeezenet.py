"""SqueezeNet (Iandola et al., SqueezeNet: AlexNet-Level Accuracy with 50x Fewer Parameters, 2016), torchvision's."""

from __future__ import annotations

import torch
from torch import nn


class Fire(nn.Module):
    """A 1x1 convolution narrows; a 1x1 and a 3x3 widen, side by side, and are concatenated."""

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, kernel_size=1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeezed, expanded, kernel_size=1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeezed, expanded, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, 2*expanded, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        expand1x1 = self.expand1x1_activation(self.expand1x1(x))
        return torch.cat([expand1x1, self.expand3x3_activation(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """`features`, then a 1x1 convolution to the classes and global average pooling: no fully connected layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores.
    """

    def __init__(self, features: nn.Sequential, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = features
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, num_classes, kernel_size=1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        return torch.flatten(self.classifier(self.features(x)), 1)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def squeezenet1_0(num_classes: int = 1000) -> SqueezeNet:
    """The paper's: 1,248,424 parameters at 1000 classes."""
    features = nn.Sequential(
        nn.Conv2d(3, 96, kernel_size=7, stride=2),
        nn.ReLU(),
        _pool(),
        Fire(96, 16, 64),
        Fire(128, 16, 64),
        Fire(128, 32, 128),
        _pool(),
        Fire(256, 32, 128),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        _pool(),
        Fire(512, 64, 256),
    )
    return SqueezeNet(features, num_classes)


def squeezenet1_1(num_classes: int = 1000) -> SqueezeNet:
    """The authors' second release, 2.4 times less computation: 1,235,496 parameters at 1000 classes."""
    features = nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=3, stride=2),
        nn.ReLU(),
        _pool(),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        _pool(),
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        _pool(),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
        Fire(384, 64, 256),
        Fire(512, 64, 256),
    )
    return SqueezeNet(features, num_classes)
