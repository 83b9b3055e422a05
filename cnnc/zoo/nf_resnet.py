"""NF-ResNet, with timm's module names (Brock et al., Characterizing Signal Propagation to Close the Performance Gap in
Unnormalized ResNets, 2021).

No normalization of activations: the weights are standardized, at every forward pass, and each block divides its
input by the standard deviation that the variances of the blocks before it predict.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from cnnc.zoo.weights import fill_affine, fill_kaiming

_RELU_GAMMA = 1.7139588594436646  # sqrt(2 / (1 - 1/pi)): makes the variance of relu(N(0, 1)) * gamma 1
_ALPHA = 0.2  # weight of a branch in its sum: a block adds alpha**2 to the variance


class ScaledStdConv2d(nn.Conv2d):
    """A convolution with weight gain * gamma * (w - mean) / sqrt(var * fan_in), per output channel.

    Section 4.2 of the paper; `gain` is learned and (out_channels, 1, 1, 1).
    """

    epsilon = 1e-5

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)
        self.gain = nn.Parameter(torch.ones(out_channels, 1, 1, 1))
        self.scale = _RELU_GAMMA * self.weight[0].numel() ** -0.5

    def standardized(self) -> torch.Tensor:
        """The weight that convolves: (out_channels, in_channels, height, width)."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight: torch.Tensor = self.gain * self.scale * (self.weight - mean) * torch.rsqrt(variance + self.epsilon)
        return weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        return F.conv2d(x, self.standardized(), self.bias, self.stride, self.padding)

    def fill_own(self, stream: torch.Generator) -> None:
        """The seeded weights; standardizing undoes their scale, so that `gain` alone carries one."""
        fill_kaiming(self, stream)
        fill_affine(self.gain, None, stream)


class NFBlock(nn.Module):
    """shortcut + alpha * residual(relu(x) * beta), with beta = 1 / the predicted standard deviation of x.

    The paper ends the branch with a zero `gain` at the start of training; trained and seeded nets have another.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, beta: float) -> None:
        super().__init__()
        width = out_channels // 4
        self.beta = beta
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = DownsampleAvg(in_channels, out_channels, stride)
        self.act1 = nn.ReLU()
        self.conv1 = ScaledStdConv2d(in_channels, width, 1)
        self.act2 = nn.ReLU()
        self.conv2 = ScaledStdConv2d(width, width, 3, stride)
        self.act3 = nn.ReLU()
        self.conv3 = ScaledStdConv2d(width, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        y = self.act1(x) * self.beta
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.conv2(self.act2(self.conv1(y)))
        out: torch.Tensor = self.conv3(self.act3(y)) * _ALPHA + shortcut
        return out


class DownsampleAvg(nn.Module):
    """2x2 average pooling where the stride is 2, then a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        self.pool = nn.Identity() if stride == 1 else pool
        self.conv = ScaledStdConv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        out: torch.Tensor = self.conv(self.pool(x))
        return out


class NFResNet(nn.Module):
    """A 7x7 stem, four stages of bottlenecks, a last ReLU, global average pooling, one dense layer.

    Input (N, 3, 224, 224), output (N, num_classes) scores. State dict keys are timm's.
    """

    def __init__(self, depths: Sequence[int], num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.add_module("conv", ScaledStdConv2d(3, 64, 7, stride=2))
        self.stem.add_module("pool", nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.Sequential()
        channels, variance = 64, 1.0
        for stage, (depth, out_channels) in enumerate(zip(depths, (256, 512, 1024, 2048), strict=True)):
            blocks = []
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(NFBlock(channels, out_channels, stride, beta=variance**-0.5))
                # the first shortcut of a stage is a convolution of variance 1: the sum starts anew
                variance = (1.0 if index == 0 else variance) + _ALPHA**2
                channels = out_channels
            self.stages.append(nn.Sequential(*blocks))
        self.final_conv = nn.Identity()
        self.final_act = nn.ReLU()
        self.head = nn.Sequential()
        self.head.add_module("global_pool", nn.AdaptiveAvgPool2d((1, 1)))
        self.head.add_module("flatten", nn.Flatten(1))
        self.head.add_module("fc", nn.Linear(channels, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        x = self.final_act(self.final_conv(self.stages(self.stem(x))))
        scores: torch.Tensor = self.head(x)
        return scores


def nf_resnet26(num_classes: int = 1000) -> NFResNet:
    """15,995,176 parameters at 1000 classes: a ResNet-26's, gain and bias in place of the BatchNorms."""
    return NFResNet((2, 2, 2, 2), num_classes)
