"""Small step functions for the compiler's tests."""

from __future__ import annotations

import torch
from torch import nn

from cnnc.zoo.conv_gru import ConvGRU
from cnnc.zoo.weights import fill
from tests.nets import randomize_statistics


class SmallGRU(nn.Module):
    """A stem with BatchNorm and two stacked ConvGRUs, on 16x16 and 8x8 maps; returns a tuple."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.down = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.low, self.high = ConvGRU(6, 4), ConvGRU(8, 5, below=4)
        self.head = nn.Linear(9, 3)
        fill(self, seed)
        randomize_statistics(self, seed)

    def forward(
        self, frame: torch.Tensor, low: torch.Tensor, high: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.relu(self.bn(self.stem(frame)))
        low = self.low(x, low)
        high = self.high(torch.relu(self.down(x)), high, low)
        return self.head(torch.cat([low.mean((2, 3)), high.mean((2, 3))], 1)), low, high

    def initial_state(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(batch, 4, 16, 16), torch.zeros(batch, 5, 8, 8)


class Named(nn.Module):
    """Outputs in a dict; the state has the frame's height and width, whatever they are."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = ConvGRU(3, 4)
        fill(self, 1)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.gru(x, h)
        return {"memory": h, "scores": h.mean((2, 3))}


def unrolled(net: SmallGRU, clip: torch.Tensor) -> torch.Tensor:
    """Scores of each frame, (N, T, classes), of clips (N, C, T, H, W)."""
    net.eval()
    states = net.initial_state(len(clip))
    scores = []
    with torch.no_grad():
        for frame in clip.unbind(2):
            score, *states = net(frame, *states)
            scores.append(score)
    return torch.stack(scores, 1)
