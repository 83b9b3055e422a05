"""S3D (Xie et al., Rethinking Spatiotemporal Feature Learning, 2018), with torchvision's module names."""

from __future__ import annotations

import torch
from torch import nn


class SeparableConv(nn.Sequential):
    """A convolution in space, then one in time, each with BatchNorm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        pad = kernel_size // 2
        space = nn.Conv3d(
            in_channels, out_channels, (1, kernel_size, kernel_size), (1, stride, stride), (0, pad, pad), bias=False
        )
        time = nn.Conv3d(out_channels, out_channels, (kernel_size, 1, 1), (stride, 1, 1), (pad, 0, 0), bias=False)
        super().__init__(_with_norm(space), _with_norm(time))


class SeparableInception(nn.Module):
    """Inception's four branches, side by side on the channels, with separable 3x3x3 convolutions."""

    def __init__(
        self, in_channels: int, one: int, narrow1: int, wide1: int, narrow2: int, wide2: int, pooled: int
    ) -> None:
        super().__init__()
        self.branch0 = _pointwise(in_channels, one)
        self.branch1 = nn.Sequential(_pointwise(in_channels, narrow1), SeparableConv(narrow1, wide1, kernel_size=3))
        self.branch2 = nn.Sequential(_pointwise(in_channels, narrow2), SeparableConv(narrow2, wide2, kernel_size=3))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), _pointwise(in_channels, pooled))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, T, H, W) -> (N, one + wide1 + wide2 + pooled, T, H, W)."""
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], dim=1)


class S3D(nn.Module):
    """Inception-v1 inflated to clips and made separable.

    Input (N, 3, T, 224, 224) with T at least 13, output (N, num_classes) scores of Kinetics-400, averaged over
    what is left of time and space; 8,320,048 parameters at 400 classes.
    """

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.features = nn.Sequential(
            SeparableConv(3, 64, kernel_size=7, stride=2),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            _pointwise(64, 64),
            SeparableConv(64, 192, kernel_size=3),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            SeparableInception(192, 64, 96, 128, 16, 32, 32),
            SeparableInception(256, 128, 128, 192, 32, 96, 64),
            nn.MaxPool3d(3, stride=2, padding=1),
            SeparableInception(480, 192, 96, 208, 16, 48, 64),
            SeparableInception(512, 160, 112, 224, 24, 64, 64),
            SeparableInception(512, 128, 128, 256, 24, 64, 64),
            SeparableInception(512, 112, 144, 288, 32, 64, 64),
            SeparableInception(528, 256, 160, 320, 32, 128, 128),
            nn.MaxPool3d(2, stride=2),
            SeparableInception(832, 256, 160, 320, 32, 128, 128),
            SeparableInception(832, 384, 192, 384, 48, 128, 128),
        )
        self.avgpool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv3d(1024, num_classes, kernel_size=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of clips."""
        x = self.classifier(self.avgpool(self.features(x)))
        return x.mean(dim=(2, 3, 4))


def _pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return _with_norm(nn.Conv3d(in_channels, out_channels, kernel_size=1, bias=False))


def _with_norm(convolution: nn.Conv3d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm3d(convolution.out_channels, eps=0.001, momentum=0.001), nn.ReLU())
