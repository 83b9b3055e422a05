"""R3D and R(2+1)D (Tran et al., A Closer Look at Spatiotemporal Convolutions, 2018), with torchvision's names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

# In channels, out channels, channels between the two factors (if any), stride -> a 3x3x3 convolution or its factors.
_Convolution = Callable[[int, int, int, int], nn.Module]


class BasicBlock(nn.Module):
    """Two spatiotemporal convolutions and the shortcut around them."""

    def __init__(self, in_channels: int, channels: int, stride: int, convolution: _Convolution) -> None:
        super().__init__()
        # As many parameters factored as whole: the paper's M_i, for both convolutions of the block.
        between = (in_channels * channels * 27) // (in_channels * 9 + 3 * channels)
        self.conv1 = nn.Sequential(
            convolution(in_channels, channels, between, stride), nn.BatchNorm3d(channels), nn.ReLU()
        )
        self.conv2 = nn.Sequential(convolution(channels, channels, between, 1), nn.BatchNorm3d(channels))
        self.relu = nn.ReLU()
        self.residual_end = "conv2.0" if isinstance(self.conv2[0], nn.Conv3d) else "conv2.0.3"
        self.downsample = None
        if stride != 1 or in_channels != channels:
            projection = nn.Conv3d(in_channels, channels, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm3d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, T, H, W) -> (N, channels, T/stride, H/stride, W/stride)."""
        y = self.conv2(self.conv1(x))
        shortcut = x if self.downsample is None else self.downsample(x)
        out: torch.Tensor = self.relu(y + shortcut)
        return out


class VideoResNet(nn.Module):
    """A stem, four stages of two blocks, global average pooling, one fully connected layer.

    Input (N, 3, 16, 112, 112), output (N, num_classes) scores of Kinetics-400.
    """

    def __init__(self, stem: nn.Module, convolution: _Convolution, num_classes: int = 400) -> None:
        super().__init__()
        self.stem = stem
        self.layer1 = _stage(64, 64, 1, convolution)
        self.layer2 = _stage(64, 128, 2, convolution)
        self.layer3 = _stage(128, 256, 2, convolution)
        self.layer4 = _stage(256, 512, 2, convolution)
        self.avgpool = nn.AdaptiveAvgPool3d((1, 1, 1))
        self.fc = nn.Linear(512, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of clips."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        scores: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(in_channels: int, channels: int, stride: int, convolution: _Convolution) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, convolution)
    return nn.Sequential(first, BasicBlock(channels, channels, 1, convolution))


def _whole(in_channels: int, out_channels: int, _between: int, stride: int) -> nn.Module:
    return nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def _factored(in_channels: int, out_channels: int, between: int, stride: int) -> nn.Module:
    """In space, then in time, with BatchNorm and ReLU between."""
    return nn.Sequential(
        nn.Conv3d(in_channels, between, (1, 3, 3), (1, stride, stride), padding=(0, 1, 1), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(),
        nn.Conv3d(between, out_channels, (3, 1, 1), (stride, 1, 1), padding=(1, 0, 0), bias=False),
    )


def r3d_18(num_classes: int = 400) -> VideoResNet:
    """33,371,472 parameters at 400 classes."""
    stem = nn.Sequential(
        nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), padding=(1, 3, 3), bias=False), nn.BatchNorm3d(64), nn.ReLU()
    )
    return VideoResNet(stem, _whole, num_classes)


def r2plus1d_18(num_classes: int = 400) -> VideoResNet:
    """31,505,325 parameters at 400 classes."""
    stem = nn.Sequential(
        nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(45),
        nn.ReLU(),
        nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(64),
        nn.ReLU(),
    )
    return VideoResNet(stem, _factored, num_classes)
