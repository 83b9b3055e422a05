"""`--target portable` is standard ONNX: another engine, OpenVINO, opens it and computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnc

pytestmark = pytest.mark.peers


@pytest.mark.parametrize(
    "name",
    [
        "resnet20",
        "mobilenet_v3_small",
        "shufflenet_v2_x1_0",
        "mobileone_s0",
        "squeezenet1_1",
        "nf_resnet26",
        "convnext_tiny",
        "resnet50_gn",
        "densenet121",
    ],
)
def test_it_computes_a_portable_artifact(name: str, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install '.[race]'")
    cnnc.compile(name, None, tmp_path / "net.onnx", target="portable", prove=False)
    engine = cnnc.load(tmp_path / "net.onnx", device="cpu")
    (wanted,) = engine.inputs
    rng = np.random.default_rng(0)
    x = rng.standard_normal([1 if isinstance(d, str) else d for d in wanted.shape], np.float32)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(tmp_path / "net.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (theirs,) = compiled([x]).values()
    ours = engine.run(x)
    assert isinstance(ours, np.ndarray)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * float(np.abs(ours).max()))
