"""Networks with what the zoo lacks: every module that a tool knows, functions of all kinds, classes of their own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Parts(nn.Module):
    """One of each: normalizations with and without scale, activations, upsampling, products, functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.Sequential(
            *(nn.GroupNorm(2, 8), nn.GroupNorm(2, 8, affine=False), nn.InstanceNorm2d(8, affine=True)),
            *(nn.InstanceNorm2d(8), nn.BatchNorm2d(8, affine=False)),
        )
        self.activations = nn.Sequential(
            *(nn.PReLU(8), nn.ELU(), nn.LeakyReLU(), nn.Softmax(1), nn.ReLU6(), nn.GELU(), nn.SiLU(), nn.Hardswish())
        )
        self.ups = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(scale_factor=2), nn.AvgPool2d(2)
        )
        self.nearest = nn.UpsamplingNearest2d(scale_factor=2)
        self.spread = nn.ConvTranspose2d(8, 4, 3, stride=2, groups=2)
        self.average, self.highest, self.pool1 = nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(1), nn.MaxPool1d(2)
        self.norm, self.plain = nn.LayerNorm(16), nn.LayerNorm(16, elementwise_affine=False)
        self.fc, self.unbiased = nn.Linear(16, 16), nn.Linear(16, 4, bias=False)
        self.scale, self.gain = nn.Parameter(torch.ones(8, 1, 1)), nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.activations(self.norms(self.conv(x))) * self.scale * self.gain
        x = torch.mul(x, x.add(1.0))
        functional = F.relu(x)
        method = x.relu()
        x = functional + method + torch.relu(x)
        x = F.interpolate(self.nearest(self.ups(x)), size=(9, 9), mode="bilinear")
        x = self.average(self.spread(x))
        mean = F.adaptive_avg_pool2d(x, 1)
        summed = mean + self.highest(x) + x.mean((2, 3), keepdim=True)
        tokens = self.plain(self.norm(self.fc(torch.flatten(x, 2))))
        tokens = self.pool1(tokens.transpose(1, 2)).transpose(1, 2)
        products = torch.matmul(tokens, tokens.transpose(1, 2))
        tokens = products @ tokens
        return self.unbiased(tokens), summed.flatten(1)


class _OwnConv(nn.Conv2d):
    """A convolution that tools which go by the exact class do not know."""


class Subclasses(nn.Module):
    """Classes of one's own: thop and ptflops overlook them, torchinfo goes by "Conv" in the name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.pool = _OwnConv(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.known = nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.known(self.act(self.pool(self.conv(x)))))


class OneLine(nn.Module):
    """A function and a method of the same name on one line."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return F.relu(x) + x.relu()


def _activate(x: torch.Tensor) -> torch.Tensor:
    return x.relu()


class Helper(nn.Module):
    """A method that is called outside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _activate(self.conv(x))


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


class Twice(nn.Module):
    """A module of one's own, called twice in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.scale = nn.Linear(8, 8), _Scale()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(self.scale(self.fc(x)))
