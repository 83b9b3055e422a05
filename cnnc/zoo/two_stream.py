"""Simonyan and Zisserman, Two-Stream Convolutional Networks for Action Recognition in Videos, 2014."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Stream(nn.Module):
    """One stream: CNN-M-2048 (Chatfield et al., Return of the Devil in the Details, 2014), as in the paper's figure 1.

    Input (N, channels, 224, 224), output (N, num_classes) scores. The maps are 109, 54, 26, 13 and 6 pixels a side:
    pooling is over 3x3 with stride 2, rounded up, as the framework of both papers does.

    Args:
        channels: 3 of a frame, or 2 for each field of flow.
        num_classes: outputs of the last layer.
        second_norm: whether there is a response normalization after the second convolution.
    """

    def __init__(self, channels: int, num_classes: int, *, second_norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 96, kernel_size=7, stride=2)
        self.conv2 = nn.Conv2d(96, 256, kernel_size=5, stride=2, padding=1)
        self.conv3 = nn.Conv2d(256, 512, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        # Settings of Krizhevsky et al., 2012; PyTorch divides alpha by the 5 channels, the paper does not.
        self.norm1 = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
        self.norm2 = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2) if second_norm else nn.Identity()
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.full6 = nn.Linear(512 * 6 * 6, 4096)
        self.full7 = nn.Linear(4096, 2048)
        self.full8 = nn.Linear(2048, num_classes)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch."""
        x = self.pool(self.norm1(self.relu(self.conv1(x))))
        x = self.pool(self.norm2(self.relu(self.conv2(x))))
        x = self.relu(self.conv4(self.relu(self.conv3(x))))
        x = self.pool(self.relu(self.conv5(x)))
        x = self.dropout(self.relu(self.full6(torch.flatten(x, 1))))
        x = self.dropout(self.relu(self.full7(x)))
        scores: torch.Tensor = self.full8(x)
        return scores


class TwoStream(nn.Module):
    """What is seen and how it moves: a spatial stream on a frame, a temporal stream on stacked flow, fused late.

    Inputs `frame` (N, 3, 224, 224) and `flow` (N, 20, 224, 224), the 10 fields from that frame on, channels
    x1, y1, x2, y2, ...; output (N, num_classes) probabilities, the mean of both streams' softmax scores;
    181,335,594 parameters at the 101 classes of UCF-101, 83 % of them in the two `full6`. The temporal stream has
    no second response normalization.
    """

    def __init__(self, num_classes: int = 101) -> None:
        super().__init__()
        self.spatial = Stream(3, num_classes)
        self.temporal = Stream(20, num_classes, second_norm=False)

    def forward(self, frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Class probabilities of a batch."""
        return (F.softmax(self.spatial(frame), 1) + F.softmax(self.temporal(flow), 1)) / 2
