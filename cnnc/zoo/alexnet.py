"""AlexNet: the paper's (Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012) and
torchvision's (Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014).
"""

from __future__ import annotations

import torch
from torch import nn


class AlexNet(nn.Module):
    """The one-tower AlexNet: 64 first kernels of 11x11, no groups, no local response normalization.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 61,100,840 parameters at 1000 classes, 96 % of
    them in the three fully connected layers.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = _classifier(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return scores


def last_convolutions() -> list[nn.Module]:
    """The third to fifth convolution of the two towers, and the pooling after them; CaffeNet's too."""
    return [
        nn.Conv2d(256, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    ]


class AlexNet2012(nn.Module):
    """The paper's AlexNet: two towers, as groups of the 2nd, 4th and 5th convolution, and response normalization.

    Input (N, 3, 227, 227): the paper's text says 224, but its 55x55 first maps need 227, as Caffe has it. Output
    (N, num_classes) scores; 60,965,224 parameters at 1000 classes.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=11, stride=4),
            nn.ReLU(),
            _response_norm(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(),
            _response_norm(),
            nn.MaxPool2d(3, stride=2),
            *last_convolutions(),
        )
        self.classifier = _classifier(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return scores


def _response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: n = 5, k = 2, alpha = 1e-4, beta = 0.75; PyTorch divides alpha by n, the paper does not."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


def _classifier(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
