"""Seeded random weights under which a signal keeps its scale and every wrong rewrite shows.

Layers of PyTorch are filled by type. Three attributes, each optional, of any module of a net (most often class
attributes of its block) say what the type does not:

`residual_end`: name, or tuple of names, of the submodules that end a residual branch; their weights are scaled by
0.25, else the sum of n branches grows like 2**n. A block that has a shortcut at some sizes only sets it in
`__init__`, to `()` where it has none:

    class Bottleneck(nn.Module):
        residual_end = "conv3"

`weight_gains`: name -> factor of other submodules' weights, where the gain for a ReLU after the layer, sqrt(2), is
not right: `{"project": 0.5**0.5}` for a layer with no activation after it, 2.0 before a gate of about one half.

`fill_own(stream)`: a method that fills what the module owns itself, parameters and buffers, instead of the rule of
its type: layer scales, tokens, constant tables. The net is built without memory, so what nobody fills is garbage;
`fill` fails on a module that owns values and has neither a rule nor this method. Submodules are filled as usual.

Names are relative to the module that has the attribute and may be dotted ("mlp.fc2").
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = ["fill", "fill_affine", "fill_kaiming"]

_RESIDUAL_GAIN = 0.25


@torch.no_grad()
def fill(module: nn.Module, seed: int) -> None:
    """Fill parameters and buffers in place, from a random stream of their own.

    Convolutions and linear layers are Kaiming-normal over fan-in (He et al., Delving Deep into Rectifiers,
    2015). BatchNorm statistics are random, not 0 and 1: with those a wrong fold would look right.
    """
    stream = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        _fill_layer(layer, stream)
    for block in module.modules():
        ends: str | tuple[str, ...] = getattr(block, "residual_end", ())
        gains = dict.fromkeys((ends,) if isinstance(ends, str) else ends, _RESIDUAL_GAIN)
        for name, gain in {**gains, **getattr(block, "weight_gains", {})}.items():
            block.get_parameter(f"{name}.weight").mul_(gain)


def fill_kaiming(layer: _ConvNd | nn.Linear, stream: torch.Generator) -> None:
    """Kaiming-normal weight, N(0, 0.1) bias."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=stream)
    if layer.bias is not None:
        layer.bias.normal_(0, 0.1, generator=stream)


def fill_affine(weight: torch.Tensor | None, bias: torch.Tensor | None, stream: torch.Generator) -> None:
    """Scale and shift of a normalization: U(0.5, 1.5) and N(0, 0.1)."""
    if weight is not None:
        weight.uniform_(0.5, 1.5, generator=stream)
    if bias is not None:
        bias.normal_(0, 0.1, generator=stream)


def _fill_layer(layer: nn.Module, stream: torch.Generator) -> None:
    fill_own = getattr(layer, "fill_own", None)
    if fill_own is not None:
        fill_own(stream)
    elif isinstance(layer, _ConvNd | nn.Linear):
        fill_kaiming(layer, stream)
    elif isinstance(layer, _BatchNorm | _InstanceNorm):
        _fill_statistics_norm(layer, stream)
    elif isinstance(layer, nn.GroupNorm | nn.LayerNorm):
        fill_affine(layer.weight, layer.bias, stream)
    elif isinstance(layer, nn.PReLU):
        layer.weight.uniform_(0.1, 0.4, generator=stream)
    else:
        owned = [name for name, _ in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))]
        assert not owned, f"{type(layer).__name__} owns {', '.join(owned)} and has no `fill_own`"


def _fill_statistics_norm(layer: _BatchNorm | _InstanceNorm, stream: torch.Generator) -> None:
    fill_affine(layer.weight, layer.bias, stream)
    if layer.running_mean is not None and layer.running_var is not None:
        layer.running_mean.normal_(0, 0.1, generator=stream)
        layer.running_var.uniform_(0.5, 1.5, generator=stream)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.zero_()
