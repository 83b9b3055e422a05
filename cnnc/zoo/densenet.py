"""DenseNet (Huang et al., Densely Connected Convolutional Networks, 2016), with torchvision's module names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


class DenseLayer(nn.Module):
    """BatchNorm, ReLU, 1x1 convolution to 4*growth channels; BatchNorm, ReLU, 3x3 convolution to `growth`."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """All maps so far, of in_channels together -> (N, growth, H, W)."""
        y = self.conv1(self.relu1(self.norm1(torch.cat(list(features), 1))))
        out: torch.Tensor = self.conv2(self.relu2(self.norm2(y)))
        return out


class DenseBlock(nn.ModuleDict):
    """Layers that each read the maps of all layers before them."""

    def __init__(self, depth: int, in_channels: int, growth: int) -> None:
        super().__init__({f"denselayer{i + 1}": DenseLayer(in_channels + i * growth, growth) for i in range(depth)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, in_channels + depth*growth, H, W)."""
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    """Half the channels by a 1x1 convolution, a quarter of the pixels by average pooling."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, in_channels // 2, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(nn.Module):
    """A ResNet stem, four dense blocks with transitions between, global average pooling, one dense layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores.
    """

    def __init__(self, depths: Sequence[int], growth: int, num_classes: int = 1000) -> None:
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, channels, kernel_size=7, stride=2, padding=3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(channels))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for stage, depth in enumerate(depths, 1):
            self.features.add_module(f"denseblock{stage}", DenseBlock(depth, channels, growth))
            channels += depth * growth
            if stage < len(depths):
                self.features.add_module(f"transition{stage}", Transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        y = F.adaptive_avg_pool2d(F.relu(self.features(x)), (1, 1))
        scores: torch.Tensor = self.classifier(torch.flatten(y, 1))
        return scores


def densenet121(num_classes: int = 1000) -> DenseNet:
    """Growth rate 32: 7,978,856 parameters at 1000 classes."""
    return DenseNet((6, 12, 24, 16), 32, num_classes)
