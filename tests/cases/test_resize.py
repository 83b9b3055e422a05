"""Resizing: the scale factor that was asked for, antialiasing, and its edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnc_runtime.errors import UnsupportedModelError, VerificationError
from tests.cases.harness import check_module, check_proto, right_or_refused
from tests.contract.graphs import model, node


class Interpolate(nn.Module):
    def __init__(self, **how: object) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, **self.how)  # type: ignore[arg-type]


# --- seen in onnxscript's source, and as ncnn #6836: 7 * 1.5 is cut to 10, and 10/7 taken for the scale, not 1.5


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "linear", "nearest"])
def test_scale_factor_that_does_not_divide_is_right_or_refused(mode: str) -> None:
    net = Interpolate(scale_factor=1.5, mode=mode, recompute_scale_factor=None)
    example = torch.zeros(1, 1, 7) if mode == "linear" else torch.zeros(1, 1, 7, 7)
    right_or_refused(lambda: check_module(net, example), VerificationError, match="no rounding")


def test_scale_factor_at_open_sizes_is_right_or_refused() -> None:
    net = Interpolate(scale_factor=1.5, mode="bilinear")

    def check() -> None:
        for sizes in ({"h": 9, "w": 5}, {"h": 8, "w": 8}):
            dynamic = {"x": {0: "batch", 2: "h", 3: "w"}}
            check_module(net, torch.zeros(1, 1, 7, 7), dynamic=dynamic, sizes=sizes)

    right_or_refused(check, UnsupportedModelError, VerificationError, match="no rounding|no ONNX form|cannot trace")


class Recomputed(nn.Module):
    """The scale is that of the sizes, by the user's own word."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        modes = ("bilinear", "bicubic", "nearest")
        return tuple(F.interpolate(x, scale_factor=1.5, mode=m, recompute_scale_factor=True) for m in modes)


def test_scale_factor_that_is_recomputed_is_right() -> None:
    check_module(Recomputed(), torch.zeros(1, 1, 7, 7))


class Whole(nn.Module):
    """Factors that divide, and sizes: nothing to get wrong in the scale."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            F.interpolate(x, scale_factor=2, mode="bilinear"),
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
            F.interpolate(x, scale_factor=2, mode="nearest"),
            F.interpolate(x, size=(5, 9), mode="bilinear"),
            F.interpolate(x, size=(5, 9), mode="bicubic"),
            F.interpolate(x, size=(5, 9), mode="nearest"),
        )


def test_whole_scale_factors_and_sizes_are_right() -> None:
    check_module(Whole(), torch.zeros(1, 2, 7, 7))


def test_size_of_another_tensor_at_open_sizes_is_right() -> None:
    class Like(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return F.interpolate(x, size=y.shape[2:], mode="bilinear") + y

    dynamic = {"x": {0: "batch", 2: "h", 3: "w"}, "y": {0: "batch", 2: "k", 3: "l"}}
    sizes = {"h": 5, "w": 4, "k": 11, "l": 6}
    check_module(Like(), (torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 9, 8)), dynamic=dynamic, sizes=sizes)


# --- onnxscript #2849: antialiased cubic has the coefficient -0.5, and leaves out what lies outside


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialiased_resize_is_right_or_refused(mode: str) -> None:
    class BothWays(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(F.interpolate(x, size=size, mode=mode, antialias=True) for size in ((5, 4), (11, 12)))

    def check() -> None:
        check_module(BothWays(), torch.zeros(1, 1, 9, 9))

    right_or_refused(check, VerificationError, UnsupportedModelError, match="no rounding|no ONNX form")


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_by_ones_on_some_axes_only(mode: str, tmp_path: Path) -> None:
    how = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    scales = {"scales": np.array([1, 1, 2, 1], np.float32)}
    proto = model([node("Resize", "x _ scales", "y", **how)], {"x": ("n", 2, 4, 5)}, constants=scales)
    check_proto(proto, folder=tmp_path)
