"""Maps of fewer channels than a block with the target `cpu`: filled, proved, and the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import cnnc
from cnnc.engine_graph.census import census

BLOCK = 16


class Ghost(nn.Module):
    """GhostNet's first module: few channels by a convolution, as many again by a depthwise one, both read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first = nn.Conv2d(3, BLOCK, 3, 2, 1), nn.Conv2d(BLOCK, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)
        self.cheap = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.last, self.head = nn.Conv2d(2 * width, BLOCK, 1), nn.Linear(BLOCK, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        p = torch.relu(self.norm(self.first(torch.relu(self.stem(image)))))
        q = torch.relu(self.cheap(p))
        return self.head(torch.relu(self.last(torch.cat([p, q], 1))).mean((2, 3)))


@pytest.mark.parametrize("width", [8, 12])
def test_narrow_maps_stay_in_blocks(width: int, tmp_path: Path) -> None:
    net, example = Ghost(width).eval(), torch.zeros(1, 3, 16, 16)
    narrow, filled = tmp_path / "narrow.onnx", tmp_path / "filled.onnx"
    skipped = cnnc.compile(net, example, output=narrow, device="cpu", target="cpu", skip=["fill-block"])
    compiled = cnnc.compile(net, example, output=filled, device="cpu", target="cpu")
    certificate = compiled.report.certificate
    assert certificate is not None and not certificate.local["unproved"]
    assert compiled.report.passes.applied()["fill-block"] == 1
    assert "fill-block" not in skipped.report.passes.applied()
    sizes = {tensor.dims[0] for tensor in onnx.load(filled).graph.initializer if len(tensor.dims) == 4}
    assert sizes == {BLOCK}
    before, after = census(narrow, "cpu", tmp_path), census(filled, "cpu", tmp_path)
    assert after.layout_conversions < before.layout_conversions
    assert after.layout_conversions - after.pooled_conversions == 0
    assert after.unblocked == 0
    image = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    want = net(torch.from_numpy(image)).detach().numpy()
    for path in (narrow, filled):
        np.testing.assert_allclose(cnnc.load(path, device="cpu").run(image), want, atol=1e-5 * np.abs(want).max())
