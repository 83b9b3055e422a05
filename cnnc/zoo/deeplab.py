"""DeepLabv3 (Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017), as torchvision's."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from cnnc.zoo.fcn import DilatedResNet50, SegmentationNet


class ASPPPooling(nn.Sequential):
    """The features' mean over the image, convolved, spread back over the image."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        size = x.shape[-2:]
        for layer in self:
            x = layer(x)
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: one 1x1, three dilated 3x3 and a pooling branch, joined by a 1x1."""

    def __init__(self, in_channels: int, rates: tuple[int, ...], out_channels: int = 256) -> None:
        super().__init__()
        dilated = [_conv_bn_relu(in_channels, out_channels, 3, dilation=rate) for rate in rates]
        self.convs = nn.ModuleList(
            [_conv_bn_relu(in_channels, out_channels, 1), *dilated, ASPPPooling(in_channels, out_channels)]
        )
        joined = _conv_bn_relu(len(self.convs) * out_channels, out_channels, 1)
        self.project = nn.Sequential(*joined, nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        out: torch.Tensor = self.project(torch.cat([branch(x) for branch in self.convs], dim=1))
        return out


def _conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel_size // 2)
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


def deeplabv3_resnet50(num_classes: int = 21) -> SegmentationNet:
    """39,638,869 parameters at 21 classes."""
    head = nn.Sequential(
        ASPP(2048, (12, 24, 36)),
        *_conv_bn_relu(256, 256, 3),
        nn.Conv2d(256, num_classes, kernel_size=1),
    )
    return SegmentationNet(DilatedResNet50(), head)
