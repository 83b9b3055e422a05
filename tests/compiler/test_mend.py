"""A wrong rewrite is found, named and left out; where no rewrite is at fault, whoever is gets named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import cnnc
from cnnc import attempt as attempt_module
from cnnc.verify.bisect import repair
from cnnc.verify.local import LocalProof
from cnnc_passes import pipeline
from cnnc_passes.driver import Driver, Instance
from cnnc_passes.rewrite import Change, Rewrite, constant, new_constant
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, VerificationError
from tests.nets import Residual, randomize_statistics

X = torch.zeros(1, 3, 12, 12)


class ShiftKernel(Rewrite):
    """A wrong law, at one convolution only: its kernel is shifted by a pixel, as padding on the wrong side does."""

    roots = frozenset({"Conv"})

    def rewrite(self, conv: ir.Node) -> Change | None:
        weight = constant(conv.inputs[1])
        if conv.name != "node_conv2d_1" or weight is None or conv.doc_string == "shifted":
            return None
        shifted = new_constant(conv.outputs[0], "shifted", np.roll(weight, 1, axis=-1))
        inputs = [conv.inputs[0], shifted, *conv.inputs[2:]]
        return Change([conv], [ir.node("Conv", inputs, conv.attributes, name=conv.name, doc_string="shifted")])


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_a_wrong_law(*args: object, **options: object) -> pipeline.Pipeline:
        steps = pipeline.pipeline_for("cpu")
        lowering = next(i for i, step in enumerate(steps) if getattr(step, "name", "") == "fuse-activation")
        return (*steps[:lowering], ShiftKernel(), *steps[lowering:])

    monkeypatch.setattr(attempt_module, "pipeline_for", with_a_wrong_law)


@pytest.mark.usefixtures("planted")
def test_the_local_proof_refutes_it_before_it_is_applied() -> None:
    report = cnnc.compile(Residual(), X).report
    (dropped,) = report.passes.dropped()
    assert dropped.law == "test-mend" and dropped.node == "node_conv2d_1"
    assert "refuted on its own: off by" in dropped.reason
    assert report.certificate is not None and report.to_dict()["dropped"][0]["law"] == "test-mend"


@pytest.mark.usefixtures("planted")
def test_bisection_finds_it_where_the_local_proof_is_blind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    net = Residual()
    monkeypatch.setattr(LocalProof, "__call__", lambda self, change: None)
    compiled = cnnc.compile(net, X, tmp_path / "net.onnx")
    (dropped,) = compiled.report.passes.dropped()
    assert dropped.law == "test-mend" and "found by bisection" in dropped.reason
    applied = compiled.report.passes.applied()
    assert applied["fold-batchnorm"] == 3 and applied["fuse-activation"] == 3 and "test-mend" not in applied
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.usefixtures("planted")
def test_a_limit_by_hand_shows_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalProof, "__call__", lambda self, change: None)
    before = cnnc.compile(Residual(), X, limit=4).report
    assert not before.passes.dropped() and "test-mend" not in before.passes.applied()


def instances(count: int) -> list[Instance]:
    return [Instance("law", f"n{i}", ("law", f"v{i}"), number=i) for i in range(1, count + 1)]


@pytest.mark.parametrize("culprits", [{1}, {5}, {16}, {3, 4}, {1, 9, 16}])
def test_every_culprit_is_found_in_a_logarithm_of_attempts(culprits: set[int]) -> None:
    attempts = []

    def attempt(limit, drops):  # type: ignore[no-untyped-def]
        attempts.append(limit)
        left = [one for one in instances(16) if one.key not in {key for key, _ in drops}]
        applied = left if limit is None else left[:limit]
        wrong = [one for one in applied if one.number in culprits]
        return applied, VerificationError("wrong") if wrong else None

    drops = repair(attempt, instances(16), VerificationError("wrong"))
    assert {key for key, _ in drops} == {("law", f"v{i}") for i in culprits}
    assert len(attempts) <= 2 + 5 * len(culprits)


def test_no_rewrite_is_blamed_for_what_the_unrewritten_graph_does() -> None:
    with pytest.raises(VerificationError, match="from the start"):
        repair(
            lambda limit, drops: (instances(3), VerificationError("from the start")),
            instances(3),
            VerificationError("x"),
        )


class DroppedDivisor(nn.Module):
    """torch.onnx ignores `divisor_override`: the sums are divided by 4 instead of 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, divisor_override=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.pool(self.conv(x))).mean((2, 3))


def test_a_wrong_export_is_named_with_the_line_of_the_network(tmp_path: Path) -> None:
    with pytest.raises(
        VerificationError,
        match=r"exported graph differs.*'avg_pool2d' \(AveragePool at .*test_mend\.py:\d+, `return torch",
    ):
        cnnc.compile(DroppedDivisor(), X, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


class AlwaysDropping(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x.flatten(1), 0.5, training=True)


def test_dropout_that_is_hard_coded_on_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"drops at inference.*self\.training.*--allow-training-ops"):
        cnnc.compile(AlwaysDropping(), X)


def test_a_driver_leaves_out_what_it_is_told_to() -> None:
    from cnnc.export import export

    graph = export(randomize_statistics(Residual()), X)
    law = pipeline.FoldBatchNorm()
    free = Driver(graph.clone())
    free.run(law)
    keys = [one.key for one in free.instances if one.applied]
    bound = Driver(graph, drop=[(keys[1], "shown wrong")])
    bound.run(law)
    assert [one.key for one in bound.instances if one.applied] == [keys[0], keys[2]]
    assert [one.reason for one in bound.instances if one.dropped] == ["shown wrong"]


@pytest.mark.usefixtures("planted")
def test_a_rewrite_after_which_the_engine_cannot_open_the_artifact_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = attempt_module.Engine

    def picky(path: Path, **options: str) -> attempt_module.Engine:
        if b".shifted" in path.read_bytes():
            raise InvalidInputError("cannot be used: Failed to find node output")
        return real(path, **options)

    monkeypatch.setattr(LocalProof, "__call__", lambda self, change: None)
    monkeypatch.setattr(attempt_module, "Engine", picky)
    (dropped,) = cnnc.compile(Residual(), X).report.passes.dropped()
    assert dropped.law == "test-mend" and "Failed to find node output" in dropped.reason


def test_a_network_that_the_engine_rounds_too_much_is_computed_with_care(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.Conv2d(8, 4, 1)).eval()
    with caplog.at_level("WARNING", logger="cnnc"):
        report = cnnc.compile(net, torch.zeros(2, 3, 96, 96), opset=20).report
    assert report.passes.applied()["expand-instancenorm"] == 1
    assert report.certificate is not None
    assert "expand-instancenorm prevents it" in caplog.text


def test_and_without_that_care_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnc.mend._with_care", lambda *_: None)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.Conv2d(8, 4, 1)).eval()
    message = r"less exactly than PyTorch.*off by.*exported graph is right: in float64 it equals.*--no-verify"
    with pytest.raises(VerificationError, match=message):
        cnnc.compile(net, torch.zeros(2, 3, 96, 96), opset=20)


class MeanOfMap(nn.Module):
    """Ends in the mean of some thousand values that cancel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.conv(x)).mean((2, 3))


def test_a_long_mean_is_taken_in_two_steps_where_rounding_would_fail_the_proof() -> None:
    compiled = cnnc.compile(MeanOfMap(), torch.zeros(1, 3, 48, 64), device="cpu", input_range=(-3.0, 3.0))
    assert compiled.report.passes.applied()["mean-by-rows"] == 1
    assert compiled.report.certificate is not None
    assert compiled.report.certificate.error < 2e-6
