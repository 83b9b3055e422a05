"""U-Net (Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015), padded."""

from __future__ import annotations

import torch
from torch import nn

_WIDTHS = (64, 128, 256, 512, 1024)


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each with BatchNorm and ReLU.

    The paper has no BatchNorm and no padding, and crops its shortcuts; padded, the mask has the image's size.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        out: torch.Tensor = self.double_conv(x)
        return out


class Down(nn.Module):
    """Halve the resolution by max pooling, then convolve twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/2, W/2)."""
        out: torch.Tensor = self.maxpool_conv(x)
        return out


class Up(nn.Module):
    """Double the resolution by a transposed convolution, join the shortcut, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.conv = DoubleConv(2 * out_channels, out_channels)

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) and (N, out_channels, 2H, 2W) -> (N, out_channels, 2H, 2W)."""
        out: torch.Tensor = self.conv(torch.cat([shortcut, self.up(x)], dim=1))
        return out


class UNet(nn.Module):
    """Four steps down and four up, a shortcut at each resolution, a 1x1 convolution to the mask.

    Input (N, 3, H, W) with H and W multiples of 16, output (N, num_classes, H, W) scores of each pixel;
    31,037,698 parameters at 2 classes. Module names are those of the common PyTorch code
    (milesial/Pytorch-UNet, with transposed convolutions).
    """

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.inc = DoubleConv(3, _WIDTHS[0])
        self.down1, self.down2, self.down3, self.down4 = (Down(_WIDTHS[i], _WIDTHS[i + 1]) for i in range(4))
        self.up1, self.up2, self.up3, self.up4 = (Up(_WIDTHS[i + 1], _WIDTHS[i]) for i in reversed(range(4)))
        self.outc = nn.Sequential()
        self.outc.conv = nn.Conv2d(_WIDTHS[0], num_classes, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each pixel of a batch of images."""
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        x = self.up1(self.down4(x4), x4)
        x = self.up4(self.up3(self.up2(x, x3), x2), x1)
        mask: torch.Tensor = self.outc(x)
        return mask
