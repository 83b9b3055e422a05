"""CSPDarknet53 (Wang et al., CSPNet, 2019; Bochkovskiy et al., YOLOv4, 2020), with timm's module names."""

from __future__ import annotations

import torch
from torch import nn

from cnnc.zoo.repvgg import Head

# Output channels and residual blocks of the stages.
_STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


class ConvNormAct(nn.Module):
    """A convolution without bias, BatchNorm, leaky ReLU; it keeps H and W at stride 1.

    The slope is 0.01, as timm trains it; Darknet has 0.1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = nn.LeakyReLU(0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        out: torch.Tensor = self.act(self.bn(self.conv(x)))
        return out


class DarkBlock(nn.Module):
    """A 1x1 and a 3x3 convolution and the shortcut around them; no activation after the sum."""

    residual_end = "conv2.conv"

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(channels, hidden, kernel_size=1)
        self.conv2 = ConvNormAct(hidden, channels, kernel_size=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        out: torch.Tensor = self.conv2(self.conv1(x)) + x
        return out


class CrossStage(nn.Module):
    """Downsample, split the channels, run the blocks on the second half only, join the two halves.

    The first stage is wider inside (its split halves have `out_channels` each) and its blocks narrow to a half.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int, first: bool) -> None:
        super().__init__()
        self.split_channels = out_channels if first else out_channels // 2
        hidden = out_channels // 2
        self.conv_down = ConvNormAct(in_channels, out_channels, kernel_size=3, stride=2)
        self.conv_exp = ConvNormAct(out_channels, 2 * self.split_channels, kernel_size=1)
        self.blocks = nn.Sequential(*(DarkBlock(self.split_channels, hidden) for _ in range(depth)))
        self.conv_transition_b = ConvNormAct(self.split_channels, self.split_channels, kernel_size=1)
        self.conv_transition = ConvNormAct(2 * self.split_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/2, W/2)."""
        passed, x = self.conv_exp(self.conv_down(x)).split(self.split_channels, dim=1)
        x = self.conv_transition_b(self.blocks(x))
        out: torch.Tensor = self.conv_transition(torch.cat([passed, x], dim=1))
        return out


class CSPDarknet53(nn.Module):
    """A 3x3 stem, five cross stages, global average pooling, one fully connected layer.

    Input (N, 3, 256, 256), output (N, num_classes) scores; 27,642,184 parameters at 1000 classes.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        self.stem.conv1 = ConvNormAct(3, 32, kernel_size=3)
        stages = []
        channels = 32
        for index, (out_channels, depth) in enumerate(_STAGES):
            stages.append(CrossStage(channels, out_channels, depth, first=index == 0))
            channels = out_channels
        self.stages = nn.Sequential(*stages)
        self.head = Head(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.head(self.stages(self.stem(x)))
        return scores
