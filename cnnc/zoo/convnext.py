"""ConvNeXt (Liu et al., A ConvNet for the 2020s, 2022), with torchvision's module names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

_WIDTHS = (96, 192, 384, 768)  # the tiny net
_DEPTHS = (3, 3, 9, 3)
_EPS = 1e-6


class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of (N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> the same shape."""
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Permute(nn.Module):
    """Reorder the axes; a layer, so that the layers after it keep torchvision's numbers."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same values with axis `dims[i]` at place i."""
        return x.permute(self.dims)


class Block(nn.Module):
    """A 7x7 depthwise convolution, a two-layer perceptron on each pixel, a learned scale, the shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=7, padding=3, groups=channels),
            Permute(0, 2, 3, 1),
            nn.LayerNorm(channels, eps=_EPS),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            Permute(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def fill_own(self, stream: torch.Generator) -> None:
        """Scales of a trained net's size, not the 1e-6 that training begins with: with that no block would matter."""
        self.layer_scale.uniform_(0.1, 0.4, generator=stream)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) -> the same shape."""
        out: torch.Tensor = x + self.layer_scale * self.block(x)
        return out


class ConvNeXt(nn.Module):
    """A 4x4 patch stem and four stages with 2x2 downsampling between them.

    Input (N, 3, 224, 224), output (N, num_classes) scores; 28,589,128 parameters at 1000 classes (tiny). The
    stochastic depth of training is the identity in inference and has no parameters; it is left out.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, _WIDTHS[0], kernel_size=4, stride=4), LayerNorm2d(_WIDTHS[0], eps=_EPS))
        layers: list[nn.Module] = [stem]
        for index, (width, depth) in enumerate(zip(_WIDTHS, _DEPTHS, strict=True)):
            layers.append(nn.Sequential(*(Block(width) for _ in range(depth))))
            if index < len(_WIDTHS) - 1:
                downsample = nn.Conv2d(width, _WIDTHS[index + 1], kernel_size=2, stride=2)
                layers.append(nn.Sequential(LayerNorm2d(width, eps=_EPS), downsample))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = _WIDTHS[-1]
        self.classifier = nn.Sequential(LayerNorm2d(last, eps=_EPS), nn.Flatten(1), nn.Linear(last, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of a batch of images."""
        scores: torch.Tensor = self.classifier(self.avgpool(self.features(x)))
        return scores
