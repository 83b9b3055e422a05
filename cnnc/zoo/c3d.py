"""C3D (Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, 2015)."""

from __future__ import annotations

import torch
from torch import nn


class C3D(nn.Module):
    """Eight 3x3x3 convolutions and three fully connected layers on 16 frames; no BatchNorm.

    Input (N, 3, 16, 112, 112), output (N, num_classes) scores; 79,991,015 parameters at the 487 classes of
    Sports-1M. The last pooling rounds 7/2 up, as the paper's framework did, for the 4x4 maps of the paper.
    """

    def __init__(self, num_classes: int = 487) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, kernel_size=3, padding=1)
        self.pool1 = nn.MaxPool3d((1, 2, 2))  # keeps the frames, so as not to merge them too early
        self.conv2 = nn.Conv3d(64, 128, kernel_size=3, padding=1)
        self.pool2 = nn.MaxPool3d(2)
        self.conv3a = nn.Conv3d(128, 256, kernel_size=3, padding=1)
        self.conv3b = nn.Conv3d(256, 256, kernel_size=3, padding=1)
        self.pool3 = nn.MaxPool3d(2)
        self.conv4a = nn.Conv3d(256, 512, kernel_size=3, padding=1)
        self.conv4b = nn.Conv3d(512, 512, kernel_size=3, padding=1)
        self.pool4 = nn.MaxPool3d(2)
        self.conv5a = nn.Conv3d(512, 512, kernel_size=3, padding=1)
        self.conv5b = nn.Conv3d(512, 512, kernel_size=3, padding=1)
        self.pool5 = nn.MaxPool3d(2, ceil_mode=True)
        self.fc6 = nn.Linear(512 * 4 * 4, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of clips."""
        x = self.pool1(self.relu(self.conv1(x)))
        x = self.pool2(self.relu(self.conv2(x)))
        x = self.pool3(self.relu(self.conv3b(self.relu(self.conv3a(x)))))
        x = self.pool4(self.relu(self.conv4b(self.relu(self.conv4a(x)))))
        x = self.pool5(self.relu(self.conv5b(self.relu(self.conv5a(x)))))
        x = self.dropout(self.relu(self.fc6(torch.flatten(x, 1))))
        x = self.dropout(self.relu(self.fc7(x)))
        scores: torch.Tensor = self.fc8(x)
        return scores
