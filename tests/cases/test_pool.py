"""Pooling whose windows reach past the edge, padding before a maximum, and divisors: what tools have got wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnc_runtime.errors import UnsupportedModelError, VerificationError
from tests.cases.harness import check_module, check_proto, nodes_of, right_or_refused, values
from tests.contract.graphs import model, node

COUNTING = torch.arange(16.0).reshape(1, 1, 4, 4)


class Each(nn.Module):
    """Several modules, each on the same input."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.each = nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> tuple[Any, ...]:
        return tuple(module(x) for module in self.each)


# --- pytorch #183528, onnxruntime #16203 and #29629: ceil_mode with count_include_pad divides by the wrong count


def test_average_in_ceil_mode() -> None:
    """On one channel, and behind a convolution of 16: the CPU's blocked layout."""
    counting = nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=True)
    outside = nn.AvgPool2d(2, 4, ceil_mode=True, count_include_pad=False)
    net = Each(counting, nn.Sequential(nn.Conv2d(1, 16, 1), counting), outside)
    check_module(net, COUNTING, also=[{"x": COUNTING.numpy()}])


@pytest.mark.parametrize("opset", [11, 18, 19, 22])
@pytest.mark.parametrize("channels", [1, 16])
def test_average_counting_padding_in_ceil_mode_at_opset(opset: int, channels: int, tmp_path: Path) -> None:
    w = values(channels, 1, 1, 1)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1, "count_include_pad": 1}
    nodes = [node("Conv", "x w", "c"), node("AveragePool", "c", "y", **pool)]
    proto = model(nodes, {"x": ("n", 1, 4, 4)}, constants={"w": w}, opset=opset)

    def truth(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(F.conv2d(x, torch.from_numpy(w).double()), 3, 2, 1, ceil_mode=True)

    check_proto(proto, truth, folder=tmp_path, also=[{"x": COUNTING.numpy()}])


# --- pytorch #71549, #131272, #99424: a last window that starts in the padding is dropped by PyTorch


def test_last_window_starting_in_the_padding_is_dropped() -> None:
    net = Each(nn.AvgPool2d(3, 3, 1, ceil_mode=True), nn.MaxPool2d(3, 3, 1, ceil_mode=True))
    for out in check_module(net, torch.zeros(1, 3, 2, 2)).graph.output:
        assert [d.dim_value for d in out.type.tensor_type.shape.dim][1:] == [3, 1, 1]


@pytest.mark.parametrize("opset", [11, 18, 19, 22])
@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_last_window_starting_in_the_padding_is_dropped_at_opset(op: str, opset: int, tmp_path: Path) -> None:
    pool = node(op, "x", "y", kernel_shape=[3, 3], strides=[3, 3], pads=[1] * 4, ceil_mode=1)
    proto = model([pool], {"x": ("n", 3, 2, 2)}, opset=opset)

    def truth(x: torch.Tensor) -> torch.Tensor:
        if op == "MaxPool":
            return F.max_pool2d(x, 3, 3, 1, ceil_mode=True)
        return F.avg_pool2d(x, 3, 3, 1, ceil_mode=True, count_include_pad=False)

    check_proto(proto, truth, folder=tmp_path)


# --- onnx #4958, onnxruntime #16351: a window that holds nothing is 0/0, or a row too many


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), [(1, 2, 0, 4), (2, 4, 0, 4), (3, 3, 1, 2)])
@pytest.mark.parametrize("opset", [11, 19, 22])
def test_window_wholly_outside_is_no_nan_and_no_row(
    kernel: int, stride: int, padding: int, size: int, opset: int, tmp_path: Path
) -> None:
    square = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
    pool = node("AveragePool", "x", "y", ceil_mode=1, count_include_pad=0, **square)
    proto = model([pool], {"x": ("n", 2, size, size)}, opset=opset)

    def truth(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode=True, count_include_pad=False)

    check_proto(proto, truth, folder=tmp_path)


# --- onnxruntime folds a padding of 0 into a maximum, whose own padding is -infinity: wrong where all is negative


class PadThenMaximum(nn.Module):
    """The same maximum after margins filled with several values."""

    def __init__(self, margin: int, *fills: float) -> None:
        super().__init__()
        self.margin, self.fills = margin, fills

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(F.max_pool2d(F.pad(x, (self.margin,) * 4, value=fill), 3) for fill in self.fills)


def test_maximum_after_constant_padding() -> None:
    """A margin of 3 leaves windows that see nothing else."""
    net = Each(PadThenMaximum(1, 0.0, -1e9, float("-inf"), 2.0), PadThenMaximum(3, 0.0, -1e9, 2.0))
    check_module(net, torch.zeros(1, 3, 7, 7))


def test_maximum_of_nothing_but_minus_infinity_is_right_or_refused() -> None:
    """Onnxruntime 1.31 gives the lowest finite float32."""
    net = PadThenMaximum(3, float("-inf"))
    right_or_refused(lambda: check_module(net, torch.zeros(1, 3, 7, 7)), VerificationError, match="NaN or infinity")


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize("fill", [None, 0.0, -1e9, -np.inf, 2.0])
def test_maximum_after_constant_padding_at_opset(fill: float | None, opset: int, tmp_path: Path) -> None:
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    if fill is not None:
        constants["fill"] = np.array(fill, np.float32)
    pad = node("Pad", "x pads" if fill is None else "x pads fill", "p")
    proto = model([pad, node("MaxPool", "p", "y", kernel_shape=[3, 3])], {"x": ("n", 3, 7, 7)}, ("y",), constants,
                  opset=opset)  # fmt: skip
    check_proto(proto, lambda x: F.max_pool2d(F.pad(x, (1,) * 4, value=fill or 0.0), 3, 1), folder=tmp_path)


# --- pytorch #105349: the exporter takes divisor_override and drops it


def test_divisor_override_is_right_or_refused() -> None:
    net = nn.AvgPool2d(2, divisor_override=3)
    right_or_refused(lambda: check_module(net, torch.zeros(1, 3, 8, 8)), VerificationError, match="no rounding")


# --- pytorch #42653, #74034: an adaptive pooling whose windows were computed for the traced size only


def test_pooling_that_the_exporter_understands() -> None:
    """Unequal adaptive windows at a fixed size; a divisor that is the window's own size."""
    net = Each(nn.AdaptiveAvgPool2d((3, 3)), nn.AvgPool2d(2, divisor_override=4))
    check_module(net, torch.zeros(1, 2, 7, 7))


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_adaptive_pooling_of_open_sizes_is_right_or_refused(pool: Any) -> None:
    def check() -> None:
        for sizes in ({"h": 7, "w": 7}, {"h": 9, "w": 12}):
            dynamic = {"input": {0: "batch", 2: "h", 3: "w"}}
            check_module(pool((3, 3)), torch.zeros(1, 2, 7, 7), dynamic=dynamic, sizes=sizes)

    right_or_refused(check, UnsupportedModelError, VerificationError, match="no rounding|no ONNX form")


def test_adaptive_pooling_to_one_cell_is_right_at_open_sizes() -> None:
    dynamic = {"input": {0: "batch", 2: "h", 3: "w"}}
    artifact = check_module(nn.AdaptiveAvgPool2d(1), torch.zeros(1, 2, 7, 7), dynamic=dynamic, sizes={"h": 9, "w": 12})
    assert nodes_of(artifact, "GlobalAveragePool")
