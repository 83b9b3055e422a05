"""Seeded random weights under which a signal keeps its scale and every wrong rewrite shows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from cnnc.zoo.resnet import BasicBlock, Bottleneck

__all__ = ["fill"]

_RESIDUAL_GAIN = 0.25  # of a branch's last convolution: else the sum of n branches grows like 2**n


@torch.no_grad()
def fill(module: nn.Module, seed: int) -> None:
    """Fill parameters and BatchNorm statistics in place, from a random stream of their own.

    Convolutions and linear layers are Kaiming-normal over fan-in (He et al., Delving Deep into Rectifiers,
    2015). BatchNorm statistics are random, not 0 and 1: with those a wrong fold would look right.
    """
    stream = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, _ConvNd | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=stream)
            if layer.bias is not None:
                layer.bias.normal_(0, 0.1, generator=stream)
        elif isinstance(layer, _BatchNorm):
            _fill_batchnorm(layer, stream)
    for block in module.modules():
        if isinstance(block, BasicBlock):
            block.conv2.weight.mul_(_RESIDUAL_GAIN)
        elif isinstance(block, Bottleneck):
            block.conv3.weight.mul_(_RESIDUAL_GAIN)


def _fill_batchnorm(layer: _BatchNorm, stream: torch.Generator) -> None:
    assert layer.running_mean is not None and layer.running_var is not None
    assert layer.num_batches_tracked is not None
    layer.weight.uniform_(0.5, 1.5, generator=stream)
    layer.bias.normal_(0, 0.1, generator=stream)
    layer.running_mean.normal_(0, 0.1, generator=stream)
    layer.running_var.uniform_(0.5, 1.5, generator=stream)
    layer.num_batches_tracked.zero_()
