"""Two analyses side by side: before and after a compilation, two networks, names or none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import cnnc
from cnnc.analysis import Analysis
from cnnc.analysis.compare import Comparison, compare
from cnnc.analysis.compare_table import print_comparison
from tests.nets import Residual

X = torch.zeros(2, 3, 12, 12)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    path = tmp_path_factory.mktemp("compiled") / "net.onnx"
    laws = ("infer-shapes", "reduce-to-pool", "fold-batchnorm", "fuse-activation")  # none that fills blocks
    cnnc.compile(Residual(), X, path, target="cpu", only=laws)
    return compare(cnnc.analyze(Residual(), X), cnnc.analyze(path))


def names(analysis: Analysis) -> list[str]:
    return [layer.output for layer in analysis.layers]


def test_every_layer_of_both_is_there_once_and_in_order(compiled: Comparison) -> None:
    assert [pair.before.output for pair in compiled.pairs if pair.before] == names(compiled.before)
    assert [pair.after.output for pair in compiled.pairs if pair.after] == names(compiled.after)


def test_convolutions_stand_beside_what_they_were_fused_into(compiled: Comparison) -> None:
    ops = [(pair.before.op, pair.after.op) for pair in compiled.pairs if pair.before and pair.after]
    assert ("Conv", "com.microsoft::FusedConv") in ops
    alone = {pair.before.op for pair in compiled.pairs if pair.before and not pair.after}
    assert {"BatchNormalization", "Relu"} <= alone
    before, after = compiled.totals()["params"]
    assert after < before


def test_a_network_is_the_same_as_itself() -> None:
    analysis = cnnc.analyze(Residual(), X)
    comparison = compare(analysis, analysis)
    assert all(pair.is_same for pair in comparison.pairs) and len(comparison.pairs) == len(analysis.layers)
    text = io.StringIO()
    print_comparison(comparison, Console(file=text, width=200))
    assert f"{len(analysis.layers)} of {len(analysis.layers)} layers are the same" in text.getvalue()


def test_without_a_common_name_kind_and_size_decide() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Residual()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    comparison = compare(cnnc.analyze(Residual(), X), cnnc.analyze(Wrapped(), X))
    assert all(pair.is_same for pair in comparison.pairs)


def test_plain_data(compiled: Comparison) -> None:
    document = compiled.to_dict()
    assert document["totals"]["macs"] == [compiled.before.totals.macs, compiled.after.totals.macs]
    assert len(document["layers"]) == len(compiled.pairs)
    assert Path(document["after"]).name == "net.onnx"
