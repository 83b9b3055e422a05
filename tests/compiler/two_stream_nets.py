"""Two-stream networks that are small: names of inputs, fusion and time as the zoo's have them."""

from __future__ import annotations

import torch
from torch import nn

from tests.nets import randomize_statistics


def _stream(channels: int, dimensions: int) -> nn.Sequential:
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dimensions == 2 else (nn.Conv3d, nn.BatchNorm3d)
    pool = nn.AdaptiveAvgPool2d(1) if dimensions == 2 else nn.AdaptiveAvgPool3d(1)
    layers = [conv(channels, 8, 3, stride=2), norm(8), nn.ReLU(), conv(8, 8, 3, padding=1), nn.ReLU(), pool]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 5))


class Small(nn.Module):
    """`frame` (N, 3, H, W) and `flow` (N, 2 * fields, H, W) -> probabilities of 5 classes, averaged."""

    def __init__(self, fields: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.spatial, self.temporal = _stream(3, 2), _stream(2 * fields, 2)
        randomize_statistics(self)

    def forward(self, frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        return (self.spatial(frame).softmax(1) + self.temporal(flow).softmax(1)) / 2


class SmallClips(nn.Module):
    """`flow` (N, 2, T, H, W) first, then `rgb` (N, 3, T, H, W) -> the sum of both scores of 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.appearance, self.motion = _stream(3, 3), _stream(2, 3)
        randomize_statistics(self)

    def forward(self, flow: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
        return self.appearance(rgb) + self.motion(flow)
