"""Small networks for the compiler's tests: quick to export, with everything a rewrite can get wrong."""

from __future__ import annotations

import torch
from torch import nn


def randomize_statistics(module: nn.Module, seed: int = 0) -> nn.Module:
    """BatchNorm statistics as training leaves them: with fresh ones a wrong fold does not show."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (m.running_mean, -0.5, 0.5),
                (m.running_var, 0.5, 1.5),
                (m.weight, -1.5, 1.5),
                (m.bias, -0.5, 0.5),
            ):
                with torch.no_grad():
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return module


class Residual(nn.Module):
    """Conv, BatchNorm, ReLU; a residual block; mean over H and W; a linear classifier."""

    def __init__(self, channels: int = 8, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)
        randomize_statistics(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        x = torch.relu(x + y)
        return self.fc(x.mean((2, 3)))


class TwoInputs(nn.Module):
    """An image and an index in; a tensor and a dict out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.embedding = nn.Embedding(7, 4)

    def forward(self, image: torch.Tensor, kind: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        features = torch.relu(self.conv(image)).mean((2, 3)) + self.embedding(kind)
        return features, {"double": features * 2, "top": features.argmax(1)}


class Branches(nn.Module):
    """Control flow that depends on the data: torch.export cannot trace it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return x
        return x * 2


class BakedBatch(nn.Module):
    """A reshape with the example's batch size written out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(2, -1)


class NegativePadPool(nn.Module):
    """Zero padding, then a maximum: onnxruntime's Pad_Fusion makes it wrong for negative inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.max_pool2d(nn.functional.pad(x, (1, 1, 1, 1)), 3)
