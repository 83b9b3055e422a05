"""MobileOne as trained (Vasu et al., An Improved One Millisecond Mobile Backbone, 2022), with timm's module names."""

from __future__ import annotations

import torch
from torch import nn

from cnnc.zoo.repvgg import ConvNorm, Head

# Output channels and depthwise-pointwise pairs of S0 (Table 2 of the paper); each stage begins with stride 2.
_S0 = ((48, 2), (128, 8), (256, 10), (1024, 1))
_S0_BRANCHES = 4


class MobileOneBlock(nn.Module):
    """The sum of equal convolutions, a 1x1 scale branch if they are larger, and an identity branch; then ReLU.

    Every branch has its own BatchNorm. In inference all are one convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, groups: int, branches: int
    ) -> None:
        super().__init__()
        same = stride == 1 and in_channels == out_channels
        self.identity = nn.BatchNorm2d(out_channels) if same else None
        self.conv_kxk = nn.ModuleList(
            ConvNorm(in_channels, out_channels, kernel_size, stride, groups) for _ in range(branches)
        )
        self.conv_scale = ConvNorm(in_channels, out_channels, 1, stride, groups) if kernel_size > 1 else None
        self.act = nn.ReLU()
        names = [f"conv_kxk.{index}.conv" for index in range(branches)]
        names += ["conv_scale.conv"] if kernel_size > 1 else []
        # The variances of a sum add up; beside an identity they are the residual branch.
        self.weight_gains = dict.fromkeys(names, (0.25 if same else 1.0) * len(names) ** -0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        first, *others = self.conv_kxk
        y = first(x) if self.conv_scale is None else self.conv_scale(x) + first(x)
        for branch in others:
            y = y + branch(x)
        if self.identity is not None:
            y = y + self.identity(x)
        out: torch.Tensor = self.act(y)
        return out


class MobileOne(nn.Module):
    """A 3x3 stem block, then pairs of a 3x3 depthwise and a 1x1 block, with the branches of training.

    The stem has one 3x3 branch, as timm has it, whatever the other blocks have. Input (N, 3, 224, 224), output
    (N, num_classes) scores.
    """

    def __init__(self, stages: tuple[tuple[int, int], ...], branches: int, num_classes: int = 1000) -> None:
        super().__init__()
        channels = min(64, stages[0][0])
        self.stem = MobileOneBlock(3, channels, kernel_size=3, stride=2, groups=1, branches=1)
        layers = []
        for out_channels, depth in stages:
            blocks: list[nn.Module] = []
            for index in range(depth):
                stride = 2 if index == 0 else 1
                blocks.append(MobileOneBlock(channels, channels, 3, stride, groups=channels, branches=branches))
                blocks.append(MobileOneBlock(channels, out_channels, 1, stride=1, groups=1, branches=branches))
                channels = out_channels
            layers.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*layers)
        self.head = Head(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.head(self.stages(self.stem(x)))
        return scores


def mobileone_s0(num_classes: int = 1000) -> MobileOne:
    """Four convolution branches a block: 5,293,272 parameters as trained, at 1000 classes."""
    return MobileOne(_S0, _S0_BRANCHES, num_classes)
