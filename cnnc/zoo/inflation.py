"""Inflating 2-D nets to 3-D ones (Carreira and Zisserman, Quo Vadis, Action Recognition?, 2017, section 2.4).

Repeat a kernel T times along time and divide it by T: a "boring" video, whose frames are all one image, then gives in
3-D what the image gives in 2-D, and a net that knows images is a good start for one that learns from clips.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from cnnc_runtime.errors import UnsupportedModelError, UsageError

__all__ = ["Ends", "inflate", "inflate_net"]

Ends = Literal["zeros", "repeat"]


def inflate(kernel: torch.Tensor, frames: int) -> torch.Tensor:
    """(out, in, H, W) -> (out, in, frames, H, W): the same kernel at each time, divided by `frames`.

    Raises:
        UsageError: it is no 2-D kernel, or `frames` is below 1.
    """
    if kernel.ndim != 4:
        raise UsageError(f"`kernel` is of shape {tuple(kernel.shape)}: give a 2-D one, (out, in, H, W)")
    if frames < 1:
        raise UsageError(f"`frames` is {frames}: at least 1")
    return kernel[:, :, None].repeat(1, 1, frames, 1, 1) / frames


def inflate_net(net: nn.Module, frames: int | None = None, *, ends: Ends = "zeros") -> nn.Module:
    """A copy of a 2-D net that takes clips (N, C, T, H, W), and gives of a boring one what `net` gives of its frame.

    Convolutions become Conv3d, those of 1x1 without extent in time, and padded so that T stays; BatchNorm keeps its
    values; pooling stays within frames, but for adaptive pooling to one value, which averages over time too. What
    `forward` itself computes must not count axes from the front: `torch.flatten(x, 1)` and `torch.cat(..., 1)` may
    stay, `x.mean((2, 3))` may not.

    Args:
        net: built of the layers of `torch.nn`; unchanged.
        frames: of the kernels; None for as many as they are high, k x k -> k x k x k, as in I3D.
        ends: what comes before the first and after the last frame. `zeros`, as in I3D, dims what is near the ends of
            a boring video; with `repeat` (the first and the last frame again) the equality is exact.

    Raises:
        UsageError: `frames` is below 1.
        UnsupportedModelError: a layer has no 3-D form here; the message names it.
    """
    if frames is not None and frames < 1:
        raise UsageError(f"`frames` is {frames}: at least 1")
    if isinstance(net, nn.Conv2d):
        return _convolution(net, frames, ends).train(net.training)
    result = copy.deepcopy(net)
    for name, layer in list(result.named_modules()):
        for child_name, child in list(layer.named_children()):
            changed = _inflated(f"{name}.{child_name}".lstrip("."), child, frames, ends)
            if changed is not None:
                setattr(layer, child_name, changed.train(child.training))
    return result


class RepeatEnds(nn.Module):
    """The first frame `before` times more, the last one `after` times: (N, C, T, H, W) -> (N, C, T + both, H, W)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Longer by `before` + `after` frames."""
        return F.pad(x, (0, 0, 0, 0, self.before, self.after), mode="replicate")


def _inflated(name: str, layer: nn.Module, frames: int | None, ends: Ends) -> nn.Module | None:
    """The layer's 3-D form; None where it works on any rank."""
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer, frames, ends)
    if isinstance(layer, nn.BatchNorm2d):
        norm = nn.BatchNorm3d(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        norm.load_state_dict(layer.state_dict(), assign=True)  # its own tensors: they are a copy already
        return norm
    if isinstance(layer, nn.MaxPool2d):
        kernel, stride, padding, dilation = map(_pair, (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
        sizes = ((1, *kernel), (1, *stride), (0, *padding), (1, *dilation))
        return nn.MaxPool3d(*sizes, ceil_mode=layer.ceil_mode)
    if isinstance(layer, nn.AvgPool2d):
        kernel, stride, padding = map(_pair, (layer.kernel_size, layer.stride, layer.padding))
        sizes3 = ((1, *kernel), (1, *stride), (0, *padding))
        return nn.AvgPool3d(*sizes3, layer.ceil_mode, layer.count_include_pad, layer.divisor_override)
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        size = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
        return nn.AdaptiveAvgPool3d((1 if size == (1, 1) else None, *size))
    if type(layer).__name__.endswith("2d") and type(layer).__module__.startswith("torch.nn"):
        raise UnsupportedModelError(f"{name} is a {type(layer).__name__}, which has no inflated form here")
    return None


def _convolution(layer: nn.Conv2d, frames: int | None, ends: Ends) -> nn.Module:
    height, width = layer.kernel_size
    time = 1 if height == width == 1 else frames or height
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros" or layer.transposed:
        raise UnsupportedModelError(f"a convolution with padding {layer.padding!r}, {layer.padding_mode}: give numbers")
    before, after = (time - 1) // 2, time // 2
    pads = before if ends == "zeros" and before == after else 0
    conv = nn.Conv3d(
        layer.in_channels,
        layer.out_channels,
        (time, height, width),
        (1, *_pair(layer.stride)),
        (pads, *_pair(layer.padding)),
        (1, *_pair(layer.dilation)),
        layer.groups,
        bias=layer.bias is not None,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(inflate(layer.weight, time))
        if conv.bias is not None and layer.bias is not None:
            conv.bias.copy_(layer.bias)
    if time == 1 or pads:
        return conv
    pad = RepeatEnds(before, after) if ends == "repeat" else nn.ConstantPad3d((0, 0, 0, 0, before, after), 0.0)
    return nn.Sequential(pad, conv)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
