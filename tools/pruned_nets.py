"""Networks with channels as pruning leaves them, which fill no block of the CPU provider's layout: docs/lowering.md.

    compile="cnnc compile tools/pruned_nets.py:residual --input-shape 1,3,224,224 --target cpu"
    $compile -o with.onnx
    $compile --skip-pass pad-channels -o without.onnx
    cnnc bench bare:without.onnx --against bare:with.onnx

Weights are random: only the shapes matter here.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

__all__ = ["inverted", "plain", "residual", "residual_throughout"]

_CLASSES = 100


def residual() -> nn.Module:
    """A residual network whose blocks are pruned, and whose stream is whole."""
    return _residual((64, 64, 64, 128, 128, 256, 256), (30, 45, 61, 93, 122, 189))


def residual_throughout() -> nn.Module:
    """The same with a pruned stream."""
    return _residual((45, 45, 45, 91, 91, 187, 187), (30, 45, 61, 93, 122, 189))


def plain() -> nn.Module:
    """VGG-11's plan and three convolutions more, pruned."""
    stages = ((30, 30), (61, 61), (122, 122, 122), (237, 237, 237))
    layers, before = [], 3
    for stage in stages:
        for channels in stage:
            layers += [*_convolution(before, channels, 3), nn.ReLU()]
            before = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *_head(before))


def inverted() -> nn.Module:
    """MobileNetV2's blocks with pruned expansions."""
    first = ((91, 24, 2), (126, 24, 1), (126, 32, 2), (189, 32, 1))  # middle, after, stride
    plan = (*first, (173, 64, 2), (366, 64, 1), (381, 96, 1), (550, 96, 1))
    layers, before = [*_convolution(3, 30, 3, 2), nn.ReLU6()], 30
    for middle, after, stride in plan:
        block = nn.Sequential(
            *_convolution(before, middle, 1),
            nn.ReLU6(),
            *_convolution(middle, middle, 3, stride, groups=middle),
            nn.ReLU6(),
            *_convolution(middle, after, 1),
        )
        layers.append(_Sum(block, nn.Identity()) if stride == 1 and before == after else block)
        before = after
    return nn.Sequential(*layers, *_head(before))


def _residual(stream: tuple[int, ...], middles: tuple[int, ...]) -> nn.Module:
    layers = [*_convolution(3, stream[0], 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for (before, after), middle in zip(itertools.pairwise(stream), middles, strict=True):
        stride = 1 if before == after else 2
        block = [*_convolution(before, middle, 3, stride), nn.ReLU(), *_convolution(middle, after, 3)]
        shortcut = nn.Identity() if stride == 1 else nn.Sequential(*_convolution(before, after, 1, stride))
        layers += [_Sum(nn.Sequential(*block), shortcut), nn.ReLU()]
    return nn.Sequential(*layers, *_head(stream[-1]))


class _Sum(nn.Module):
    def __init__(self, block: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.block, self.shortcut = block, shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.block(x) + self.shortcut(x)
        return added


def _convolution(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(after)]


def _head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, _CLASSES)]
