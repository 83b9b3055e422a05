"""VGG (Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

# Output channels of the 3x3 convolutions, one tuple a stage; a 2x2 max pooling ends each stage.
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # column D of the paper


class VGG(nn.Module):
    """Stages of 3x3 convolutions, then three fully connected layers.

    Input (N, 3, 224, 224), output (N, num_classes) scores. With `batch_norm`, BatchNorm follows each convolution,
    which keeps its bias, as torchvision trains it.
    """

    def __init__(self, stages: Sequence[Sequence[int]], num_classes: int = 1000, batch_norm: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(*_feature_layers(stages, batch_norm))
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(stages[-1][-1] * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return scores


def _feature_layers(stages: Sequence[Sequence[int]], batch_norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for stage in stages:
        for out_channels in stage:
            layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU())
            channels = out_channels
        layers.append(nn.MaxPool2d(2))
    return layers


def vgg16_features() -> nn.Sequential:
    """The convolutions of VGG-16 alone, up to its last pooling: 14,714,688 parameters."""
    return nn.Sequential(*_feature_layers(_VGG16, batch_norm=False))


def vgg16(num_classes: int = 1000) -> VGG:
    """Thirteen convolutions and three fully connected layers: 138,357,544 parameters at 1000 classes."""
    return VGG(_VGG16, num_classes)


def vgg16_bn(num_classes: int = 1000) -> VGG:
    """VGG-16 with BatchNorm: 138,365,992 parameters at 1000 classes."""
    return VGG(_VGG16, num_classes, batch_norm=True)
