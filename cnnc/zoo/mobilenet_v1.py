"""MobileNet (Howard et al., MobileNets, 2017), with timm's module names (its `mobilenetv1_100`)."""

from __future__ import annotations

import torch
from torch import nn

# Output channels and stride of the depthwise separable blocks, one tuple a resolution (Table 1 of the paper).
_STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)


class DepthwiseSeparable(nn.Module):
    """A 3x3 depthwise convolution, then a 1x1 one; BatchNorm and an activation after each, no shortcut.

    The activation is ReLU6, as the authors' code and timm have it; the paper says ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(
            in_channels, in_channels, kernel_size=3, stride=stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        x = self.act(self.bn1(self.conv_dw(x)))
        out: torch.Tensor = self.act(self.bn2(self.conv_pw(x)))
        return out


class MobileNetV1(nn.Module):
    """A 3x3 stem and thirteen depthwise separable blocks.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 4,231,976 parameters at 1000 classes.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.act1 = nn.ReLU6()
        stages: list[nn.Module] = []
        channels = 32
        for stage in _STAGES:
            blocks = []
            for out_channels, stride in stage:
                blocks.append(DepthwiseSeparable(channels, out_channels, stride))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.global_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.blocks(self.act1(self.bn1(self.conv_stem(x))))
        scores: torch.Tensor = self.classifier(torch.flatten(self.global_pool(x), 1))
        return scores
