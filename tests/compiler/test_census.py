"""What the engine fuses, counted in the graph that it really runs."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from cnnc.verify.census import Census, census, regressions
from tests.contract.blocks import conv_relu
from tests.contract.graphs import model, node, weights


def saved(proto: onnx.ModelProto, path: Path) -> Path:
    onnx.save(proto, path)
    return path


def test_what_is_fused_is_not_loose(tmp_path: Path) -> None:
    counted = census(saved(conv_relu(), tmp_path / "fused.onnx"), "cpu", tmp_path)
    assert counted.nodes >= 1 and counted.loose == {}
    nodes = [node("Conv", "x w", "c"), node("Sin", "c", "s"), node("Relu", "s", "y")]  # the Relu has nobody to join
    apart = model(nodes, {"x": ["n", 4, 9, 9]}, ["y"], {"w": weights(6, 4, 3, 3)})
    counted = census(saved(apart, tmp_path / "apart.onnx"), "cpu", tmp_path)
    assert counted.loose == {"Relu": 1}
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["apart.onnx", "fused.onnx"]


def test_convolutions_outside_the_blocked_layout_are_counted(tmp_path: Path) -> None:
    counted = [census(saved(conv_relu(rank), tmp_path / f"{rank}.onnx"), "cpu", tmp_path).unblocked for rank in (1, 3)]
    assert counted == [1, 1]  # it is for images


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (Census(5, {"Relu": 1}, 2), []),
        (Census(5, {"Relu": 2}, 2), ["2 Relu left on their own instead of 1"]),
        (Census(5, {"Add": 1}, 2), ["1 Add left on their own instead of 0"]),
        (Census(5, {}, 3), ["3 layout conversions instead of 2"]),
        (Census(5, {}, 2, 4), ["4 convolutions outside the blocked layout instead of 0"]),
    ],
)
def test_regressions_are_said(after: Census, found: list[str]) -> None:
    assert regressions(Census(9, {"Relu": 1}, 2), after) == found
