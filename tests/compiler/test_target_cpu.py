"""The target `cpu`: clips computed frame by frame, proved, and in the engine's blocked layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import cnnc
from cnnc.engine_graph.census import census

LAWS = ("depthwise-before-concat", "split-concat", "concat-to-conv")


class Clips(nn.Module):
    """A residual block, as R3D-18 has them, and an inception block, as S3D has them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv3d(3, 16, 3, (1, 2, 2), 1, bias=False), nn.BatchNorm3d(16), nn.ReLU())
        self.one = nn.Sequential(nn.Conv3d(16, 16, 3, 1, 1), nn.BatchNorm3d(16), nn.ReLU())
        self.two = nn.Sequential(nn.Conv3d(16, 16, 3, 1, 1), nn.BatchNorm3d(16))
        self.space = nn.Sequential(nn.Conv3d(16, 16, (1, 3, 3), 1, (0, 1, 1)), nn.ReLU())
        self.time = nn.Sequential(nn.Conv3d(16, 16, (3, 1, 1), 1, (1, 0, 0)), nn.ReLU())
        self.pool = nn.MaxPool3d(3, 1, 1)
        self.last = nn.Sequential(nn.Conv3d(32, 16, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.head = nn.Linear(16, 5)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm3d):
                nn.init.uniform_(layer.running_var, 0.5, 1.5)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        x = self.stem(clip)
        x = torch.relu(self.two(self.one(x)) + x)
        x = torch.cat([self.time(self.space(x)), self.pool(x)], 1)
        return self.head(self.last(x))


def test_every_layer_takes_frames(tmp_path: Path) -> None:
    example = torch.zeros(1, 3, 6, 16, 16)
    plain = cnnc.compile(Clips().eval(), example, output=tmp_path / "plain.onnx", device="cpu")
    framed = cnnc.compile(Clips().eval(), example, output=tmp_path / "cpu.onnx", device="cpu", target="cpu")
    certificate = framed.report.certificate
    assert certificate is not None
    assert sum(certificate.local["unproved"].values()) == 1  # constant-reshape, whose shape is computed elsewhere
    applied = framed.report.passes.applied()
    assert (applied["conv3d-to-2d"], applied["pool3d-to-2d"], applied["concat-frames"]) == (6, 2, 1)
    strides = [
        attribute.ints
        for node in onnx.load(tmp_path / "cpu.onnx").graph.node
        for attribute in node.attribute
        if "Conv" in node.op_type and attribute.name == "strides"
    ]
    assert {len(each) for each in strides} == {2}
    before, after = plain.report.after, framed.report.after
    assert before is not None and after is not None
    assert after.macs < before.macs  # what would be multiplied with frames of zeros
    assert after.params == before.params + 16  # the stem's bias, all zeros, is written out in a FusedConv
    counts = census(tmp_path / "cpu.onnx", "cpu", tmp_path)
    assert counts.unblocked == 0
    assert "Relu" not in counts.loose


def test_what_is_open_stays(tmp_path: Path) -> None:
    """With any number of frames the convolutions stay as they are; any batch and size of image is no hindrance."""
    example = torch.zeros(1, 3, 6, 16, 16)
    for axes, expected in (({0: "n", 2: "t"}, 0), ({0: "n", 3: "h", 4: "w"}, 6)):
        path = tmp_path / f"{expected}.onnx"
        compiled = cnnc.compile(
            Clips().eval(), example, output=path, device="cpu", target="cpu", dynamic={"clip": axes}
        )
        assert compiled.report.passes.applied().get("conv3d-to-2d", 0) == expected
        clip = np.random.default_rng(0).standard_normal((3, 3, 6, 20, 24) if expected else (3, 3, 9, 16, 16))
        want = Clips().eval()(torch.from_numpy(clip.astype(np.float32))).detach().numpy()
        got = cnnc.load(path, device="cpu").run(clip.astype(np.float32))
        np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


class Wide(nn.Module):
    """A residual block whose convolutions do work enough for pairs of frames."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv3d(3, 64, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.one, self.two = nn.Conv3d(64, 64, 3, 1, 1), nn.Conv3d(64, 64, 3, 1, 1)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(clip))
        return torch.relu(self.two(torch.relu(self.one(x))) + x).mean((2, 3, 4))


def test_two_frames_by_four_convolutions(tmp_path: Path) -> None:
    """Of 7 frames: two by 2, for the padding, two pairs by 4, and one by 3: 15 convolutions of 21."""
    path = tmp_path / "wide.onnx"
    compiled = cnnc.compile(Wide().eval(), torch.zeros(1, 3, 7, 12, 12), output=path, device="cpu", target="cpu")
    certificate, before, after = compiled.report.certificate, compiled.report.before, compiled.report.after
    assert certificate is not None and before is not None and after is not None
    assert compiled.report.passes.applied()["pair-frames"] == 2
    assert not certificate.local["unproved"]
    assert after.macs * 21 < before.macs * 15.5  # and the sums
    assert census(path, "cpu", tmp_path).unblocked == 0


class Joined(nn.Module):
    """GhostNet's bottleneck, with a stride and a residual, and the end of one of CSPNet's stages."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 20, 1)
        self.cheap, self.down = nn.Conv2d(20, 20, 3, 1, 1, groups=20), nn.Conv2d(40, 40, 3, 2, 1, groups=40)
        self.second, self.cheaper = nn.Conv2d(40, 24, 1), nn.Conv2d(24, 24, 3, 1, 1, groups=24)
        self.shortcut = nn.Conv2d(16, 48, 1, 2)
        self.left, self.right, self.last = nn.Conv2d(48, 32, 1), nn.Conv2d(48, 32, 3, 1, 1), nn.Conv2d(64, 16, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        f = nn.functional.leaky_relu
        x = torch.relu(self.stem(image))
        p = torch.relu(self.first(x))
        q = self.second(self.down(torch.cat([p, torch.relu(self.cheap(p))], 1)))
        x = torch.relu(torch.cat([q, self.cheaper(q)], 1) + self.shortcut(x))
        return f(self.last(torch.cat([f(self.left(x)), f(self.right(x))], 1))).mean((2, 3))


def test_nothing_is_joined(tmp_path: Path) -> None:
    path, example, net = tmp_path / "joined.onnx", torch.zeros(1, 3, 32, 32), Joined().eval()
    compiled = cnnc.compile(net, example, output=path, device="cpu", target="cpu")
    certificate, applied = compiled.report.certificate, compiled.report.passes.applied()
    assert certificate is not None and not certificate.local["unproved"]
    assert [applied[law] for law in LAWS] == [1, 2, 1]
    assert "Concat" not in {node.op_type for node in onnx.load(path).graph.node}
    counts = census(path, "cpu", tmp_path)
    assert (counts.layout_conversions - counts.pooled_conversions, counts.unblocked) == (0, 0)
    assert not counts.loose
    image = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    want = net(torch.from_numpy(image)).detach().numpy()
    np.testing.assert_allclose(cnnc.load(path, device="cpu").run(image), want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("law", LAWS)
def test_without_one_of_the_laws_maps_leave_the_blocks(law: str, tmp_path: Path) -> None:
    path, example = tmp_path / "joined.onnx", torch.zeros(1, 3, 32, 32)
    compiled = cnnc.compile(Joined().eval(), example, output=path, device="cpu", target="cpu", skip=[law])
    assert law not in compiled.report.passes.applied()
    assert "Concat" in {node.op_type for node in onnx.load(path).graph.node}
    counts = census(path, "cpu", tmp_path)
    assert counts.layout_conversions - counts.pooled_conversions > 0
