"""LeNet-5 (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998): 1x32x32 -> 10 classes."""

from __future__ import annotations

import torch
from torch import nn


class LeNet5(nn.Module):
    """The modern reading of the paper: full connections in C3, plain average pooling, a linear last layer.

    Input (N, 1, 32, 32), output (N, num_classes) scores; 61,706 parameters at 10 classes.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5),  # C1: 6 @ 28x28
            nn.Tanh(),
            nn.AvgPool2d(2),  # S2: 6 @ 14x14
            nn.Conv2d(6, 16, kernel_size=5),  # C3: 16 @ 10x10
            nn.Tanh(),
            nn.AvgPool2d(2),  # S4: 16 @ 5x5
            nn.Conv2d(16, 120, kernel_size=5),  # C5: 120 @ 1x1
            nn.Tanh(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(120, 84),  # F6
            nn.Tanh(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return scores
