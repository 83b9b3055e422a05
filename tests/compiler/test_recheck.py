"""`cnnc verify`: the file that was proved, unchanged, and equal on this machine too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import cnnc
from cnnc_runtime.errors import VerificationError
from tests.nets import Residual, TwoInputs


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    torch.manual_seed(8)  # not the seed under which cnnc builds a factory's untrained net
    net = Residual()
    torch.save(net.state_dict(), folder / "net.pt")
    cnnc.compile(net, torch.zeros(1, 3, 12, 12), folder / "net.onnx")
    return folder / "net.onnx"


def test_an_untouched_artifact_is_proved_again(artifact: Path) -> None:
    certificate = cnnc.verify_artifact(artifact)
    assert "its own graph in float64" in certificate.oracle and 0 < certificate.error < 1e-5
    stored = json.loads({p.key: p.value for p in onnx.load(artifact).metadata_props}["cnnc.certificate"])
    assert certificate.inputs_hash == stored["inputs_hash"]  # the same inputs, made again
    assert stored["versions"]["torch"] and stored["local"]["proved"] > 0


def test_against_its_source_the_whole_proof_is_made_again(artifact: Path, tmp_path: Path) -> None:
    certificate = cnnc.verify_artifact(artifact, "tests.nets:Residual", weights=artifact.with_name("net.pt"))
    assert certificate.oracle == "the PyTorch module in float64"
    with pytest.raises(VerificationError, match="no rounding"):
        cnnc.verify_artifact(artifact, "tests.nets:Residual")  # other weights


def a_weight(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[0] = np.nextafter(array.reshape(-1)[0], np.float32(9))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def an_attribute(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Conv")
    next(a for a in node.attribute if a.name == "pads").ints[0] += 1


@pytest.mark.parametrize(("change", "part"), [(a_weight, "weights"), (an_attribute, "graph")])
def test_any_change_is_found(
    change: Callable[[onnx.ModelProto], None], part: str, artifact: Path, tmp_path: Path
) -> None:
    model = onnx.load(artifact)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(VerificationError, match=f"its {part} changed since it was proved"):
        cnnc.verify_artifact(tmp_path / "changed.onnx")


def test_saving_it_with_another_tool_is_no_change(artifact: Path, tmp_path: Path) -> None:
    onnx.save(onnx.load(artifact), tmp_path / "again.onnx")
    assert cnnc.verify_artifact(tmp_path / "again.onnx").error < 1e-5


def test_an_unverified_artifact_is_refused(tmp_path: Path) -> None:
    cnnc.compile(Residual(), torch.zeros(1, 3, 12, 12), tmp_path / "net.onnx", prove=False)
    with pytest.raises(VerificationError, match="carries no certificate"):
        cnnc.verify_artifact(tmp_path / "net.onnx")


def test_indices_come_from_the_certificate(tmp_path: Path) -> None:
    example = {"image": torch.zeros(2, 1, 6, 6), "kind": torch.tensor([6, 1])}
    cnnc.compile(TwoInputs(), example, tmp_path / "net.onnx")
    assert cnnc.verify_artifact(tmp_path / "net.onnx").error < 1e-5


def test_the_command(artifact: Path, tmp_path: Path) -> None:
    shutil.copy(artifact, tmp_path / "net.onnx")
    data = np.random.default_rng(0).standard_normal((5, 3, 12, 12), np.float32)
    np.save(tmp_path / "x.npy", data)
    command = [sys.executable, "-m", "cnnc", "verify", "net.onnx", "--verify-data", "x.npy", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any("your data, x.npy" in case for case in json.loads(done.stdout)["cases"])
