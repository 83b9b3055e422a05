"""Open axes take every size that the network takes; what it cannot do is said in terms of its own code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnnc
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, UsageError

OPEN = {"x": {0: "batch", 2: "height", 3: "width"}}


class Unpadded(nn.Sequential):
    """Kernels without padding: inside, small images come to a size of 1, and the smallest to none."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class Skip(nn.Module):
    """Half the size by a stride, and back to that of the skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.same = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.same(x) + F.interpolate(self.down(x), size=x.shape[2:], mode="bilinear")


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(self.conv(x), scale_factor=1.5, mode="bilinear")


@pytest.mark.parametrize(("net", "least"), [(Unpadded(), 8), (Skip(), 1), (Scaled(), 3)])
def test_height_and_width_are_open_down_to_the_least_that_the_network_takes(net: nn.Module, least: int) -> None:
    engine = cnnc.compile(net, torch.zeros(1, 3, 12, 12), dynamic=OPEN).engine("cpu")
    for height, width in ((least, least), (least + 1, least), (17, 12)):
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            np.testing.assert_allclose(engine.run(x.numpy()), net.eval()(x), atol=1e-5)


class BySize(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[2] > 10 else x


class Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.transpose(2, 3)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (BySize(), "BySize.forward does not treat all sizes alike: it was traced for 11 <= height"),
        (Square(), "The values of width and height must always be equal"),
    ],
)
def test_a_branch_on_a_size_is_named(net: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        cnnc.compile(net, torch.zeros(1, 3, 12, 12), dynamic=OPEN)


class OneItem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.view(1, -1))


def test_a_network_for_one_item_is_named_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"works at one size of axis 'x:0' only: .* --static"):
        cnnc.compile(OneItem(), torch.zeros(1, 12))
    assert capfd.readouterr() == ("", "")


class Index(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embedding(x)


@pytest.mark.parametrize("net", [Index(), nn.Conv2d(3, 4, 3).half()])
def test_an_input_of_another_type_names_the_way_out(net: nn.Module) -> None:
    with pytest.raises(InvalidInputError, match="inputs of another type than float32 come from --example"):
        cnnc.compile(net, torch.zeros(1, 3, 8, 8))


class Leaves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.exit(0)


class Moves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        os.chdir("/")
        return x + 1


def test_forward_cannot_end_the_process() -> None:
    with pytest.raises(InvalidInputError, match=r"Leaves.forward called sys.exit\(0\) at .*test_trace.py:\d+"):
        cnnc.compile(Leaves(), torch.zeros(1, 3))


def test_forward_cannot_move_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cnnc.compile(Moves(), torch.zeros(1, 3), "net.onnx")
    assert (tmp_path / "net.onnx").exists() and Path.cwd() == tmp_path


@pytest.mark.parametrize(
    ("example", "message"),
    [(torch.zeros(0, 3), "'x' is empty, of shape"), ((np.zeros(3),), "holds no tensor .x: ndarray.")],
)
def test_an_example_without_values_is_a_usage_error(example: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cnnc.compile(Moves(), example)  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", [["batch"], {"0": "batch"}, {0: "two words"}])
def test_axes_that_are_no_dict_of_words_are_a_usage_error(axes: object) -> None:
    with pytest.raises(UsageError, match=r"dynamic: .* of input 'x'"):
        cnnc.compile(Moves(), torch.zeros(1, 3), dynamic={"x": axes})  # type: ignore[dict-item]
