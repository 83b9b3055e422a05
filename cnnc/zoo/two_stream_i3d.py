"""Two-stream I3D (Carreira and Zisserman, Quo Vadis, Action Recognition?, 2017)."""

from __future__ import annotations

import torch
from torch import nn

from cnnc.zoo.i3d import InceptionI3d, Unit3D


class TwoStreamI3D(nn.Module):
    """One I3D on frames, one on their optical flow, whose logits are added.

    Inputs `rgb` (N, 3, T, H, W), `flow` (N, 2, T, H, W) from each of these frames to the next; output
    (N, num_classes) scores, the sum of both networks' as in the paper's own code (its text speaks of an average,
    which orders the classes alike). 25,372,576 parameters at 400 classes.
    """

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.appearance = InceptionI3d(num_classes)
        self.motion = InceptionI3d(num_classes)
        self.motion.Conv3d_1a_7x7 = Unit3D(2, 64, 7, 2)  # x and y in the place of three colors

    def forward(self, rgb: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of clips."""
        scores: torch.Tensor = self.appearance(rgb) + self.motion(flow)
        return scores
