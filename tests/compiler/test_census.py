"""What the engine fuses, counted in the graph that it really runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest

from cnnc.engine_graph.barriers import Barrier
from cnnc.engine_graph.census import Census, census, regressions
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


def test_what_runs_in_the_kernel_of_another_is_counted(tmp_path: Path) -> None:
    nodes = [
        *(node("Conv", "x w", "a"), node("Conv", "x v", "b"), node("Add", "a b", "c"), node("Relu", "c", "d")),
        *(node("Conv", "x u", "e"), node("Sigmoid", "e", "f"), node("Concat", "d f", "y", axis=1)),
    ]
    constants = {name: weights(16, 16, 3, 3) for name in "wvu"}
    counted = census(
        saved(model(nodes, {"x": ["n", 16, 9, 9]}, ["y"], constants), tmp_path / "a.onnx"), "cpu", tmp_path
    )
    assert (counted.fused, counted.loose) == ({"activation in Conv": 2, "addition in Conv": 1}, {})
    norm = [node("LayerNormalization", "x g g", "a"), node("Gelu", "a", "b"), node("Gemm", "b w", "c")]
    nodes = [*norm, node("Relu", "c", "y")]
    constants = {"g": weights(8), "w": weights(8, 5)}
    counted = census(saved(model(nodes, {"x": ["n", 8]}, ["y"], constants), tmp_path / "b.onnx"), "cpu", tmp_path)
    assert counted.fused == {"Gelu": 1, "LayerNormalization": 1, "activation in Gemm": 1}


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (Census(5, {"Relu": 1}, 2), []),
        (Census(5, {"Relu": 2}, 2), ["2 Relu left on their own instead of 1"]),
        (Census(5, {"Add": 1}, 2), ["1 Add left on their own instead of 0"]),
        (Census(5, {"Relu": 1, "Sqrt": 2}, 2), []),  # a power by roots: there was nothing whose piece they could be
        (Census(5, {}, 3), ["3 layout conversions instead of 2"]),
        (Census(5, {}, 2, 4), ["4 convolutions outside the blocked layout instead of 0"]),
    ],
)
def test_regressions_are_said(after: Census, found: list[str]) -> None:
    assert regressions(Census(9, {"Relu": 1}, 2), after) == found


@pytest.mark.parametrize(
    ("loose", "fused", "found"),
    [
        ({"Relu": 1}, {"activation in Conv": 3}, []),  # there are fewer convolutions
        ({}, {"activation in Conv": 1, "Gelu": 1}, []),
        ({"Relu": 1, "Mul": 9, "Div": 1}, {"activation in Conv": 6}, ["9 Mul", "1 Div", "0 x Gelu fused instead of 1"]),
        ({"Relu": 4}, {"activation in Conv": 3, "Gelu": 1}, ["4 Relu", "3 x activation in Conv fused instead of 6"]),
        ({"Clip": 3}, {"activation in Conv": 3, "Gelu": 1}, ["3 Clip", "3 x activation in Conv fused instead of 6"]),
        ({"Relu": 1, "Add": 1}, {"activation in Conv": 3}, ["1 Add"]),  # other than what is fused less
    ],
)
def test_fewer_fusions_are_a_regression_where_more_is_left(
    loose: dict[str, int], fused: dict[str, int], found: list[str]
) -> None:
    before = Census(20, {"Relu": 1}, 2, fused={"activation in Conv": 6, "Gelu": 1})
    said = regressions(before, Census(20, loose, 2, fused=fused))
    assert len(said) == len(found) and all(line.startswith(start) for line, start in zip(said, found, strict=True))


def test_a_regression_says_what_converts_layouts_more_often() -> None:
    split, ends = Barrier("Split (has no blocked form)", ("a",), 2), Barrier("input of the network", ("x",), 1)
    before = Census(9, {}, 3, barriers=(split, ends))
    after = Census(9, {}, 5, barriers=(dataclasses.replace(split, conversions=4), ends))
    assert regressions(before, after) == [
        "5 layout conversions instead of 3: 2 more by Split (has no blocked form)",
    ]
    assert regressions(before, dataclasses.replace(after, blocked=4)) == []  # the price of four convolutions in blocks
