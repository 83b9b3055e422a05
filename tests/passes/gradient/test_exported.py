"""Every rule that the exporter's graphs need, against torch.autograd: modules side by side, exported together."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from tests.nets import randomize_statistics
from tests.passes.gradient.harness import Formula, deviations

ACTIVATIONS: dict[str, Formula | nn.Module] = {
    "Relu": torch.relu,
    "LeakyRelu": nn.LeakyReLU(0.1),
    "PRelu": nn.PReLU(3, init=0.2),
    "PRelu of negative slopes": nn.PReLU(3, init=-0.3),
    "Clip of ReLU6": nn.ReLU6(),
    "Clip of Hardtanh": nn.Hardtanh(-0.5, 0.7),
    "Sigmoid": torch.sigmoid,
    "SiLU": nn.SiLU(),
    "Tanh": torch.tanh,
    "HardSigmoid": nn.Hardsigmoid(),
    "HardSwish": nn.Hardswish(),
    "Elu": nn.ELU(0.7),
    "Selu": nn.SELU(),
    "Celu": nn.CELU(0.7),
    "Gelu": nn.GELU(),
    "Gelu by tanh": nn.GELU(approximate="tanh"),
    "Softplus": nn.Softplus(),
    "LogSigmoid": nn.LogSigmoid(),
    "Softsign": nn.Softsign(),
    "Mish": nn.Mish(),
    "Softmax": nn.Softmax(1),
    "LogSoftmax": nn.LogSoftmax(1),
    "Dropout": nn.Dropout(),
    "GLU": lambda x: F.glu(x, 2),
}
ELEMENTWISE: dict[str, Formula | nn.Module] = {
    "Add, several readers": lambda x: x + torch.relu(x) + x,
    "Sub, broadcast": lambda x: x.mean(1, keepdim=True) - x,
    "Mul, broadcast": lambda x: x * x.mean((2, 3), keepdim=True),
    "squeeze and excitation": lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)),
    "Div, broadcast": lambda x: x / (1 + x.mean(1, keepdim=True) ** 2),
    "Pow": lambda x: (x.abs() + 0.1) ** 2.5,
    "square": lambda x: x**2,
    "maximum": lambda x: torch.maximum(x, 0.5 * x),
    "minimum with ties": lambda x: torch.minimum(x, torch.relu(x)),
    "clamp": lambda x: x.clamp(min=0.1),
    "Where": lambda x: torch.where(x > 0, x, x * 0.3),
    "exp and log": lambda x: torch.log(1 + torch.exp(x)),
    "rsqrt": lambda x: torch.rsqrt(1 + x * x),
    "Sin, Cos, Neg": lambda x: torch.sin(x) - torch.cos(-x),
    "Erf": torch.erf,
    "Cast": lambda x: x.double().float() * 2,
    "a vector of weights": lambda x: x * torch.arange(1.0, 7.0),
    "a row added in": lambda x: x.mean((0, 1, 2)) * 0 + x.mean(1, keepdim=True),
}
REDUCTIONS: dict[str, Formula | nn.Module] = {
    "mean": lambda x: x.mean((2, 3)),
    "sum": lambda x: x.sum(1),
    "amax": lambda x: x.amax((2, 3)),
    "amin with ties": lambda x: torch.relu(x).amin((2, 3)),
    "std": lambda x: x.std((2, 3)),
    "normalize": lambda x: F.normalize(x),
    "l1": lambda x: x.abs().sum(1),
    "logsumexp": lambda x: torch.logsumexp(x, 1),
    "adaptive average": nn.AdaptiveAvgPool2d(1),
    "adaptive average to 2x3": nn.AdaptiveAvgPool2d((2, 3)),
    "adaptive maximum": nn.AdaptiveMaxPool2d(1),
    "BatchNorm": randomize_statistics(nn.BatchNorm2d(4)),
    "LayerNorm": nn.LayerNorm([6, 6]),
    "RMSNorm": nn.RMSNorm(6),
    "InstanceNorm": nn.InstanceNorm2d(4, affine=True),
    "GroupNorm": nn.GroupNorm(2, 4),
    "LocalResponseNorm": nn.LocalResponseNorm(3, alpha=0.1),
    "of a pooled channel": lambda x: x.mean((2, 3), keepdim=True).expand_as(x).amax((2, 3)),
}
SHAPES: dict[str, Formula | nn.Module] = {
    "view": lambda x: x.view(x.size(0), -1) * 2,
    "channel shuffle": lambda x: x.view(x.size(0), 2, 2, 6, 6).transpose(1, 2).reshape(x.size(0), -1, 6, 6),
    "permute": lambda x: x.permute(0, 2, 3, 1) * torch.arange(4.0),
    "squeeze": lambda x: x.mean(2, keepdim=True).squeeze(2).unsqueeze(1),
    "expand": lambda x: x.mean((2, 3), keepdim=True).expand_as(x) * x,
    "repeat": lambda x: x.repeat(1, 2, 1, 3) ** 2,
    "chunk and cat": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "one chunk": lambda x: x.chunk(2, 1)[1],
    "two of three chunks": lambda x: x.split([1, 2, 1], 1)[0] * x.split([1, 2, 1], 1)[2],
    "cat of a pooled one": lambda x: torch.cat([x, x.mean(1, keepdim=True)], 1).mean((2, 3)),
    "select": lambda x: x[:, 1],
    "steps": lambda x: x[:, :, ::2, 1::3],
    "flip": lambda x: x.flip(3) * x,
    "roll": lambda x: torch.roll(x, 1, 2),
    "list of indices": lambda x: x[:, [2, 0, 1]],
    "repeated index": lambda x: torch.index_select(x, 1, torch.tensor([2, 0, 2])),
    "unbind": lambda x: sum(x.unbind(1)) * 2,
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "Pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "Pad that crops": lambda x: F.pad(x, (-1, 2, 0, -1)),
    "reflect": lambda x: F.pad(x, (1, 2, 3, 1), mode="reflect"),
    "replicate": lambda x: F.pad(x, (1, 2, 3, 1), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 2, 3, 1), mode="circular"),
}
RESIZES: dict[str, Formula | nn.Module] = {
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "nearest, other sizes": lambda x: F.interpolate(x, size=(9, 4)),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear, corners": lambda x: F.interpolate(x, size=(13, 8), mode="bilinear", align_corners=True),
    "bilinear, smaller": lambda x: F.interpolate(x, size=(4, 5), mode="bilinear"),
}
PRODUCTS: dict[str, Formula | nn.Module] = {
    "Linear": nn.Sequential(nn.Flatten(), nn.Linear(144, 5)),
    "Linear of maps": nn.Linear(6, 3),
    "attention": lambda x: (x.flatten(2) @ x.flatten(2).transpose(1, 2)).softmax(2) @ x.flatten(2),
    "a matrix on the left": lambda x: torch.linspace(0, 1, 30).view(5, 6).to(x) @ x,
    "ConvTranspose2d": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
    "Conv2d, same": nn.Conv2d(4, 4, 4, padding="same"),
    "Conv2d, depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
}
OPEN: dict[str, Formula | nn.Module] = {
    "Conv2d, stride 2": nn.Conv2d(4, 6, 3, 2, 1),
    "Conv2d, stride 3": nn.Conv2d(4, 6, 2, 3),
    "MaxPool2d": nn.MaxPool2d(3, 2, 1),
    "AvgPool2d": nn.AvgPool2d(3, 2, 1),
    "AvgPool2d, padding not counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "AvgPool2d, tiles": nn.AvgPool2d(2),
    "global mean": lambda x: x * x.mean((2, 3), keepdim=True),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "Pad": lambda x: F.pad(x, (1, 2, 0, 1)),
    "amax": lambda x: x.amax((2, 3)),
}


def test_activations() -> None:
    assert deviations(ACTIVATIONS, (3, 4, 4)) == {}


def test_elementwise_with_broadcasting() -> None:
    assert deviations(ELEMENTWISE, (4, 5, 6)) == {}


def test_reductions_and_normalizations() -> None:
    assert deviations(REDUCTIONS, (4, 6, 6)) == {}


def test_shapes_and_selections() -> None:
    assert deviations(SHAPES, (4, 6, 6)) == {}


def test_resizes() -> None:
    assert deviations(RESIZES, (2, 6, 5)) == {}


def test_products_and_convolutions() -> None:
    assert deviations(PRODUCTS, (4, 6, 6)) == {}


def test_open_heights_and_widths() -> None:
    """Traced at 8x9 and run at 11x14: what a stride leaves unread differs."""
    open_axes = {"x": {0: "batch", 2: "h", 3: "w"}}
    assert deviations(OPEN, (4, 8, 9), run_shape=(4, 11, 14), dynamic=open_axes) == {}
    alone = {"InstanceNorm": nn.InstanceNorm2d(4, affine=True)}  # beside others, torch.export fixes the batch
    assert deviations(alone, (4, 8, 9), run_shape=(4, 11, 14), dynamic=open_axes) == {}


def test_three_dimensions() -> None:
    functions = {
        "Conv3d": nn.Conv3d(2, 4, 3, (1, 2, 2), 1),
        "Conv3d, factored": nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 0, 0)),
        "MaxPool3d": nn.MaxPool3d((1, 2, 2)),
        "AvgPool3d": nn.AvgPool3d((2, 3, 3), (1, 2, 2)),
        "trilinear": lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"),
        "nearest": lambda x: F.interpolate(x, scale_factor=(1, 2, 2)),
    }
    assert deviations(functions, (2, 4, 7, 7)) == {}


def test_one_dimension() -> None:
    functions = {
        "Conv1d": nn.Conv1d(3, 4, 3, 2, 1),
        "MaxPool1d": nn.MaxPool1d(3, 2, 1),
        "AvgPool1d": nn.AvgPool1d(3, 2, 1),
        "linear": lambda x: F.interpolate(x, size=13, mode="linear"),
        "LayerNorm": nn.LayerNorm(9),
    }
    assert deviations(functions, (3, 9)) == {}
