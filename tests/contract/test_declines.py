"""Each condition of each law, alone violated: the law declines and says why; and look-alikes are left alone."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from cnnc_passes.driver import Driver
from cnnc_passes.laws.pair_frames import PairFrames
from tests.contract.blocks import Sample
from tests.contract.graphs import model, node
from tests.contract.laws import DECLINES, LAWS, LEAVES
from tests.contract.laws.conv3d_to_2d import clip


def declines(law: str, proto: onnx.ModelProto) -> list[str]:
    """The reasons; asserts that nothing was applied."""
    graph = ir.from_proto(proto)
    driver = Driver(graph)
    assert not driver.run(LAWS[law])
    return [one.reason for one in driver.instances]


def cases(table: dict[str, dict[str, Sample]]) -> list[object]:
    return [
        pytest.param(law, reason, build, id=f"{law}/{reason}")
        for law, builders in table.items()
        for reason, build in builders.items()
    ]


@pytest.mark.parametrize(("law", "reason", "build"), cases(DECLINES))
def test_law_declines_and_says_why(law: str, reason: str, build: Sample) -> None:
    reasons = declines(law, build())
    assert len(reasons) == 1 and reason in reasons[0]


@pytest.mark.parametrize(("law", "reason", "build"), cases(LEAVES))
def test_law_leaves_look_alikes_alone(law: str, reason: str, build: Sample) -> None:
    assert declines(law, build()) == []


def test_drop_noops_renames_what_it_leaves_as_an_output() -> None:
    graph = ir.from_proto(model([node("Relu", "x", "r"), node("Identity", "r", "y")], {"x": [2, 3]}))
    assert Driver(graph).run(LAWS["drop-noops"])
    assert [n.op_type for n in graph.graph] == ["Relu"]
    assert [v.name for v in graph.graph.outputs] == ["y"]


def test_pair_frames_declines_where_sums_cost_what_it_saves() -> None:
    """Of 4 channels and 4 filters, 3x3 a frame: 2*9*4*4 MACs a pair, against four sums of 4 channels and two of 4."""
    graph = ir.from_proto(clip())
    driver = Driver(graph)
    assert not driver.run(PairFrames(12.5))
    assert [one.reason for one in driver.instances] == ["it saves 12 MACs for each value that is added instead"]
    assert driver.run(PairFrames(12))
