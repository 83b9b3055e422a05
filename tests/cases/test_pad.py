"""Padding: negative, automatic, circular, symbolic; and what a convolution may take over of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnc_runtime.errors import UnsupportedModelError, VerificationError
from tests.cases.harness import TARGETS, Truth, check_module, check_proto, ints, nodes_of, right_or_refused, values
from tests.contract.graphs import model, node

OPEN = {"x": {0: "batch", 2: "h", 3: "w"}}


# --- onnxscript #2838: a negative padding (a crop) must not become the convolution's own


class CropThenConvolve(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.conv(F.pad(x, (-1, 1, 0, 0))), self.conv(F.pad(x, (-1, -1, -2, 0)))


def test_negative_padding_before_a_convolution() -> None:
    artifact = check_module(CropThenConvolve(), torch.zeros(1, 2, 6, 6))
    convolutions = nodes_of(artifact, "Conv")
    assert convolutions
    assert all(pad >= 0 for conv in convolutions for pad in ints(conv, "pads"))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("pads", [(0, -1, 0, 1), (-1, -1, -1, -1), (2, -1, -2, 1)])
def test_negative_pads_before_a_convolution(pads: tuple[int, ...], target: str, tmp_path: Path) -> None:
    top, left, bottom, right = pads
    w = values(3, 2, 3, 3)
    constants = {"pads": np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), "w": w}
    nodes = [node("Pad", "x pads", "p"), node("Conv", "p w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
    proto = model(nodes, {"x": ("n", 2, 6, 6)}, constants=constants)

    def truth(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (left, right, top, bottom))
        return torch.relu(F.conv2d(padded, torch.from_numpy(w).double(), padding=1))

    artifact = check_proto(proto, truth, folder=tmp_path, target=target)
    assert all(pad >= 0 for conv in nodes_of(artifact, "Conv") for pad in ints(conv, "pads"))


# --- onnx #3259, optimizer #251, OnnxSlim #268: a padding before a window whose own padding is automatic


def automatic(size: int, kernel: int, stride: int, dilation: int, auto_pad: str) -> tuple[int, int]:
    """(before, after) by the ONNX standard's formula for `auto_pad`."""
    if auto_pad == "VALID":
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("fill", [0.0, 2.0])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_before_a_convolution_with_automatic_padding(
    auto_pad: str, stride: int, fill: float, target: str, tmp_path: Path
) -> None:
    check_proto(*pad_then_convolve(auto_pad, stride, fill, dilation=1), folder=tmp_path, target=target)


def pad_then_convolve(auto_pad: str, stride: int, fill: float, dilation: int) -> tuple[onnx.ModelProto, Truth]:
    """The graph, and what it computes."""
    w = values(3, 2, 3, 3)
    constants = {"pads": np.array([0, 0, 1, 0, 0, 0, 1, 2], np.int64), "w": w, "fill": np.array(fill, np.float32)}
    convolve = {"auto_pad": auto_pad, "strides": [stride] * 2, "dilations": [dilation] * 2}
    nodes = [node("Pad", "x pads fill", "p"), node("Conv", "p w", "y", **convolve)]
    proto = model(nodes, {"x": ("n", 2, 6, 6)}, constants=constants)

    def truth(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (0, 2, 1, 1), value=fill)
        top, bottom = automatic(8, 3, stride, dilation, auto_pad)
        left, right = automatic(8, 3, stride, dilation, auto_pad)
        padded = F.pad(padded, (left, right, top, bottom))
        return F.conv2d(padded, torch.from_numpy(w).double(), stride=stride, dilation=dilation)

    return proto, truth


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_automatic_padding_of_a_dilated_convolution_is_right_or_refused(auto_pad: str, tmp_path: Path) -> None:
    """Onnxruntime 1.31 has no such convolution; onnxscript writes out wrong pads."""
    right_or_refused(
        lambda: check_proto(*pad_then_convolve(auto_pad, 1, 0.0, dilation=2), folder=tmp_path),
        UnsupportedModelError,
        match="Dilation not supported",
    )


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_written_into_pads(auto_pad: str, tmp_path: Path) -> None:
    """VALID with dilation 2 has nothing to write out; a stride of 2 on an odd size has its margins unequal."""
    w = values(3, 2, 4, 3)
    dilation = 2 if auto_pad == "VALID" else 1
    convolve = {"auto_pad": auto_pad, "strides": [2, 2], "dilations": [dilation] * 2, "group": 1}
    nodes = [node("Conv", "x w", "c", **convolve), node("Relu", "c", "y")]
    proto = model(nodes, {"x": ("n", 2, 9, 7)}, constants={"w": w})

    def truth(x: torch.Tensor) -> torch.Tensor:
        top, bottom = automatic(9, 4, 2, dilation, auto_pad)
        left, right = automatic(7, 3, 2, dilation, auto_pad)
        padded = F.pad(x, (left, right, top, bottom))
        return torch.relu(F.conv2d(padded, torch.from_numpy(w).double(), stride=2, dilation=dilation))

    check_proto(proto, truth, folder=tmp_path)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_padding_before_a_pooling_with_automatic_padding(auto_pad: str, op: str, tmp_path: Path) -> None:
    pads = {"pads": np.array([0, 0, 1, 0, 0, 0, 1, 2], np.int64)}
    pool = node(op, "p", "y", auto_pad=auto_pad, kernel_shape=[3, 3], strides=[2, 2])
    proto = model([node("Pad", "x pads", "p"), pool], {"x": ("n", 2, 6, 6)}, constants=pads)

    def truth(x: torch.Tensor) -> torch.Tensor:
        before, after = automatic(8, 3, 2, 1, auto_pad)
        padded, margin = F.pad(x, (0, 2, 1, 1)), (before, after) * 2
        if op == "MaxPool":
            return F.max_pool2d(F.pad(padded, margin, value=float("-inf")), 3, 2)
        counts = F.avg_pool2d(F.pad(torch.ones_like(padded), margin), 3, 2)
        return F.avg_pool2d(F.pad(padded, margin), 3, 2) / counts

    check_proto(proto, truth, folder=tmp_path)


# --- pytorch #86690, #100160: padding_mode with padding="same", odd and even kernels; the zeros of the example hid it


class SamePadding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        combinations = itertools.product(("circular", "reflect", "replicate", "zeros"), (3, 4))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(2, 6, kernel, padding="same", padding_mode=mode) for mode, kernel in combinations
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(conv(x) for conv in self.convolutions)


def test_same_padding_in_every_mode_with_odd_and_even_kernels() -> None:
    check_module(SamePadding(), torch.zeros(1, 2, 8, 8))


class Margins(nn.Module):
    """Reflect and replicate on some sides, none on others."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        modes = ("reflect", "replicate", "circular")
        return tuple(F.pad(x, pads, mode=mode) for mode in modes for pads in ((1, 2, 3, 0), (0, 0, 0, 2)))


def test_margins_that_are_not_constant_on_some_sides() -> None:
    check_module(Margins(), torch.zeros(1, 2, 8, 8))


# --- pytorch #60179, onnxscript #2540: the order of the pads where sizes are open, and not every axis is padded


class PartialPads(nn.Module):
    """Pads of the last axis, of the last two, of three; and by a size only known when it runs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height = x.shape[2]
        return F.pad(x, (1, 2)), F.pad(x, (1, 2, 3, 0)), F.pad(x, (0, 1, 2, 0, 1, 3)), F.pad(x, (0, height, 1, 2))


def test_pads_of_some_axes_at_open_sizes() -> None:
    example = torch.zeros(1, 2, 8, 8)
    for sizes in ({"h": 5, "w": 9}, {"h": 8, "w": 3}):
        check_module(PartialPads(), example, dynamic=OPEN, sizes=sizes)


class ToMultiple(nn.Module):
    """Padded so that both sizes divide by 4, as encoder-decoder networks do it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4))


@pytest.mark.parametrize("sizes", [(5, 9), (8, 4)])
def test_padding_to_a_multiple_at_open_sizes(sizes: tuple[int, int]) -> None:
    check_module(ToMultiple(), torch.zeros(1, 2, 6, 7), dynamic=OPEN, sizes=dict(zip("hw", sizes, strict=True)))


def test_reflection_at_open_sizes_is_right_or_refused() -> None:
    class Reflect(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.pad(x, (1, 2, 2, 1), mode="reflect")

    def check() -> None:
        check_module(Reflect(), torch.zeros(1, 2, 8, 8), dynamic=OPEN, sizes={"h": 5, "w": 9})

    right_or_refused(check, UnsupportedModelError, VerificationError, match="torch.export cannot trace Reflect")
