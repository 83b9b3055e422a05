"""The plain network of the initialization, BatchNorm and activation examples: convolutions and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def plain(
    activation: Callable[[], nn.Module], layers: int, channels: int, *, norm: bool = False, bias: bool = False
) -> nn.Sequential:
    """`layers` 3x3 convolutions of `channels` each, and a classifier of 10 behind global average pooling.

    Modules are `conv1`, `bn1` with `norm`, `act1`, ..., `pool`, `flatten`, `fc`.
    """
    net = nn.Sequential()
    for i in range(1, layers + 1):
        net.add_module(f"conv{i}", nn.Conv2d(channels if i > 1 else 1, channels, 3, padding=1, bias=bias))
        if norm:
            net.add_module(f"bn{i}", nn.BatchNorm2d(channels))
        net.add_module(f"act{i}", activation())
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(channels, 10, bias=bias))
    return net
