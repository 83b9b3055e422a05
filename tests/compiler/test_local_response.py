"""Local response normalization with the target `cpu`: in blocks, proved, and without the engine's loss of digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import cnnc
from cnnc.engine_graph.census import census, regressions
from cnnc.verify.tolerance import relative_error
from tests.contract.graphs import model, node, run_exactly, run_on_engine


class Caffe(nn.Module):
    """As networks converted from Caffe write it."""

    def __init__(self) -> None:
        super().__init__()
        self.average = nn.AvgPool3d((5, 1, 1), 1, (2, 0, 0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.div(self.average(x.pow(2).unsqueeze(1)).squeeze(1).mul(0.5).add(1.0).pow(0.75))


NORMS = {
    "odd": lambda: nn.LocalResponseNorm(5, alpha=0.5, k=2.0),
    "even": lambda: nn.LocalResponseNorm(4, alpha=0.5),
    "caffe": Caffe,
}


@pytest.mark.parametrize("name", NORMS)
def test_normalized_by_a_convolution(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), NORMS[name](), nn.MaxPool2d(2), nn.Conv2d(32, 8, 3)).eval()
    example, paths = torch.zeros(2, 3, 20, 24), [tmp_path / f"{target}.onnx" for target in ("onnxruntime", "cpu")]
    axes = {"input": {0: "n", 2: "h", 3: "w"}}
    cnnc.compile(net, example, output=paths[0], device="cpu", dynamic=axes)
    compiled = cnnc.compile(net, example, output=paths[1], device="cpu", dynamic=axes, target="cpu")
    assert compiled.report.passes.applied()["lrn-to-conv"] == 1
    certificate = compiled.report.certificate
    assert certificate is not None and "AveragePool" not in {one.op_type for one in onnx.load(paths[1]).graph.node}
    before, after = (census(path, "cpu", tmp_path) for path in paths)
    assert (after.unblocked, regressions(before, after)) == (0, [])
    image = torch.randn(3, 3, 31, 18)
    got, want = cnnc.load(paths[1], device="cpu").run(image.numpy()), net(image).detach().numpy()
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_no_square_is_subtracted_again(tmp_path: Path) -> None:
    """Behind large values the engine's LRN has lost the small ones; an ONNX file that has it is better off."""
    path = tmp_path / "lrn.onnx"
    onnx.save(model([node("LRN", "x", "y", size=5, alpha=5e-4, bias=2.0)], {"x": ["n", 96, 6, 6]}), path)
    compiled = cnnc.compile(path, output=tmp_path / "cpu.onnx", device="cpu", target="cpu")
    assert compiled.report.passes.applied() == {"lrn-to-conv": 1}
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 96, 6, 6)) * np.exp(3 * rng.standard_normal((2, 96, 6, 6)))).astype(np.float32)
    protos = [onnx.load(one) for one in (path, tmp_path / "cpu.onnx")]
    (want,) = run_exactly(protos[0], {"x": x})
    errors = [relative_error(run_on_engine(proto, {"x": x})[0], want) for proto in protos]
    assert errors[1] < 1e-6 < 1e-5 < errors[0]
