"""The default target: standard operators, of which onnxruntime's CPU provider makes the fused ones by itself."""

from __future__ import annotations

import collections
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
import torch

import cnnc
from cnnc.engine_graph.census import census
from cnnc.export import export
from cnnc_passes.driver import Driver
from cnnc_passes.laws.fuse_activation import FuseActivation
from cnnc_passes.pipeline import optimize
from cnnc_passes.rewrite import op_name
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session
from tests.nets import Residual

X = torch.zeros(2, 3, 12, 12)


def test_an_artifact_has_standard_operators_only(tmp_path: Path) -> None:
    cnnc.compile(Residual(), X, tmp_path / "net.onnx")
    artifact = onnx.load(tmp_path / "net.onnx")
    assert {node.domain for node in artifact.graph.node} == {""}
    assert [opset.domain for opset in artifact.opset_import] == [""]
    onnx.checker.check_model(artifact, full_check=True)


@pytest.mark.parametrize("channels", [6, 8, 16])  # in no block, in AVX2's, in AVX-512's
def test_the_cpu_provider_fuses_what_fuse_activation_would(tmp_path: Path, channels: int) -> None:
    plain = export(Residual(channels).eval(), (X,))
    optimize(plain)
    fused = plain.clone()
    assert Driver(fused).run(FuseActivation())
    (engine, nodes), (engine_fused, nodes_fused) = (
        engine_operators(model, tmp_path / f"{name}.onnx") for name, model in (("plain", plain), ("fused", fused))
    )
    assert nodes["com.microsoft::FusedConv"] == 0 < nodes_fused["com.microsoft::FusedConv"]
    assert engine == engine_fused
    # The stem, the first and the second convolution of the block, and the second has the sum.
    counted = census(tmp_path / "plain.onnx", "cpu", tmp_path)
    assert counted.fused == {"activation in Conv": 3, "addition in Conv": 1}
    assert counted.loose == {}


def engine_operators(model: ir.Model, path: Path) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """How often each operator is in the graph that the engine makes of `model`, and in `model`."""
    ir.save(model, path)
    open_session(str(path), path.name, CPU, 1, "all", optimized=str(path.with_suffix(".optimized")))
    graph = ir.load(path.with_suffix(".optimized")).graph
    counted = (collections.Counter(op_name(node) for node in nodes) for nodes in (graph, model.graph))
    first, second = counted
    return first, second
