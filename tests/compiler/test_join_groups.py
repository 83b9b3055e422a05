"""Narrow groups with the target `cpu`: whole blocks of the engine's layout, proved, and the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cnnc
from cnnc.engine_graph.census import census


class Block(nn.Module):
    """A residual block as ResNeXt has them."""

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        channels = groups * width
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        self.grouped = nn.Conv2d(channels, channels, 3, 1, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)
        self.last = nn.Conv2d(channels, channels, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(image))
        x = torch.relu(self.last(torch.relu(self.norm(self.grouped(x)))) + x)
        return self.head(x)


@pytest.mark.parametrize(("groups", "width"), [(8, 4), (4, 8)])
def test_groups_run_in_blocks(groups: int, width: int, tmp_path: Path) -> None:
    net, path = Block(groups, width).eval(), tmp_path / "net.onnx"
    compiled = cnnc.compile(net, torch.zeros(1, 3, 16, 16), output=path, device="cpu", target="cpu")
    assert compiled.report.passes.applied()["join-groups"] == 1
    certificate = compiled.report.certificate
    assert certificate is not None
    assert "join-groups" not in certificate.local["unproved"]
    assert census(path, "cpu", tmp_path).unblocked == 0
    image = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    want = net(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(cnnc.load(path, device="cpu").run(image), want, atol=1e-5 * np.abs(want).max())
    skipped = cnnc.compile(
        net, torch.zeros(1, 3, 16, 16), output=path, device="cpu", target="cpu", skip=["join-groups"]
    )
    assert "join-groups" not in skipped.report.passes.applied()
    assert census(path, "cpu", tmp_path).unblocked == 1
