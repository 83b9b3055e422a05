"""What the command line says of the inputs: shapes, axes, and a function that returns an example."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cnnc.examples import check_fits, example_for, from_factory, parse_dynamic, parse_shapes
from cnnc.source import Source
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UnsupportedModelError, UsageError


def test_shapes_are_read() -> None:
    assert parse_shapes(["x:1,3, 8,08", "y:2x4"]) == {"x": (1, 3, 8, 8), "y": (2, 4)}


@pytest.mark.parametrize("text", ["1,3,0,8", "1,3,8,²", "1,-3", "", "x:", "1,,2", "9" * 20, "1," + "9" * 5000])
def test_shapes_that_are_none_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="give sizes from 1 to 999999999"):
        parse_shapes([text])


def test_an_axis_may_be_named_once() -> None:
    assert parse_dynamic(["x:0=n", "x:2=h"]) == {"x": {0: "n", 2: "h"}}
    with pytest.raises(UsageError, match="x:0=m: the axis is given twice"):
        parse_dynamic(["x:0=n", "x:0=m"])


def test_more_than_the_machines_memory_is_a_limit() -> None:
    check_fits("input 'x'", (1, 3, 224, 224))
    with pytest.raises(ResourceLimitError, match=r"input .input. of 1x3x1000000x1000000 takes 22,352 GiB"):
        example_for(Source("net", nn.Identity()), shapes=["1,3,1000000,1000000"])


class NoInput(nn.Module):
    def forward(self) -> torch.Tensor:
        return torch.ones(1)


def test_a_network_without_inputs_is_not_supported() -> None:
    with pytest.raises(UnsupportedModelError, match=r"NoInput.forward takes no input"):
        example_for(Source("net", NoInput()), shapes=["1,3,8,8"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"--example .*ex.py:fails failed at .*ex.py:3: ValueError: no data"),
        ("leaves", r"called sys.exit\(0\)"),
        ("pair", "gave a tuple of tuple: give a tensor for each input"),
        ("nothing", "gave a NoneType: give a tensor"),
    ],
)
def test_an_example_that_cannot_be_used_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "ex.py").write_text(
        "import sys, torch\n"
        "def fails():\n    raise ValueError('no data')\n"
        "def leaves(): sys.exit(0)\n"
        "def pair(): return ((torch.ones(1), torch.ones(1)),)\n"
        "def nothing(): return None\n"
    )
    with pytest.raises(InvalidInputError, match=message):
        from_factory(f"{tmp_path}/ex.py:{name}")
