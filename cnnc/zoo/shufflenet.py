"""ShuffleNetV2 (Ma et al., ShuffleNet V2, 2018), with torchvision's module names."""

from __future__ import annotations

import torch
from torch import nn

_WIDTHS = (24, 116, 232, 464, 1024)  # the 1.0x net: stem, three stages, last convolution (Table 5 of the paper)
_DEPTHS = (4, 8, 4)


class ShuffleUnit(nn.Module):
    """Convolve one half of the channels, keep the other, shuffle the two; at stride 2 both are convolved."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        half = out_channels // 2
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                _depthwise(in_channels, stride),
                nn.BatchNorm2d(in_channels),
                nn.Conv2d(in_channels, half, kernel_size=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(),
            )
        # No activation follows the depthwise convolutions.
        self.weight_gains = dict.fromkeys(["branch2.3", *(["branch1.0"] if stride > 1 else [])], 0.5**0.5)
        self.branch2 = nn.Sequential(
            nn.Conv2d(in_channels if stride > 1 else half, half, kernel_size=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            _depthwise(half, stride),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, kernel_size=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        if self.stride == 1:
            kept, convolved = x.chunk(2, dim=1)
            out = torch.cat((kept, self.branch2(convolved)), dim=1)
        else:
            out = torch.cat((self.branch1(x), self.branch2(x)), dim=1)
        return _shuffle(out, 2)


class ShuffleNetV2(nn.Module):
    """A 3x3 stem with max pooling, three stages of units, a 1x1 convolution, mean, one fully connected layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 2,278,604 parameters at 1000 classes.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = _conv_bn_relu(3, _WIDTHS[0], kernel_size=3, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2, self.stage3, self.stage4 = (_stage(index) for index in range(3))
        self.conv5 = _conv_bn_relu(_WIDTHS[3], _WIDTHS[4], kernel_size=1)
        self.fc = nn.Linear(_WIDTHS[4], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        scores: torch.Tensor = self.fc(x.mean([2, 3]))
        return scores


def _shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Interleave the channels of the groups: the transpose of (groups, channels/groups)."""
    n, channels, height, width = x.shape
    x = x.view(n, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(n, channels, height, width)


def _stage(index: int) -> nn.Sequential:
    in_channels, out_channels = _WIDTHS[index : index + 2]
    rest = [ShuffleUnit(out_channels, out_channels, stride=1) for _ in range(_DEPTHS[index] - 1)]
    return nn.Sequential(ShuffleUnit(in_channels, out_channels, stride=2), *rest)


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, groups=channels, bias=False)


def _conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())
