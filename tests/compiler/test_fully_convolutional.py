"""Classifiers on larger images: against crops where nothing pads, against the head on windows of the map elsewhere."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import cnnc
from cnnc.fully_convolutional import Sliding
from cnnc.zoo import build
from cnnc.zoo.convnext import Block, LayerNorm2d
from cnnc_passes.laws import fully_convolutional as law
from cnnc_runtime import PRESETS, Preprocessing, load
from cnnc_runtime.errors import UsageError, VerificationError
from tests.nets import randomize_statistics


class VggLike(nn.Module):
    """Padded convolutions, an adaptive pooling that changes nothing at 32x32, three linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2, ceil_mode=True)),
        )
        self.pool, self.map = nn.AdaptiveAvgPool2d(8), 8
        self.head = nn.Sequential(
            *(nn.Linear(512, 16), nn.ReLU(inplace=True), nn.Dropout()),
            *(nn.Linear(16, 12, bias=False), nn.BatchNorm1d(12), nn.SiLU(), nn.Linear(12, 5), nn.Softmax(1)),
        )
        randomize_statistics(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(self.pool(self.features(x)), 1))

    def on_window(self, window: torch.Tensor) -> torch.Tensor:
        return self.head(window.flatten(1))


class ResnetLike(nn.Module):
    """A residual block with squeeze-and-excitation and shuffled channels; a mean over the map; a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.bn, self.squeeze, self.excite = nn.BatchNorm2d(8), nn.Linear(8, 4), nn.Linear(4, 8)
        self.down, self.fc, self.map = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Linear(8, 5), 5
        randomize_statistics(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        y = self.bn(self.conv(x))
        weights = self.excite(torch.relu(self.squeeze(y.mean((2, 3))))).sigmoid()
        y = y * weights.view(-1, 8, 1, 1)
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.down(torch.relu(x + y))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3)))

    def on_window(self, window: torch.Tensor) -> torch.Tensor:
        return self.fc(window.mean((2, 3)))


def compiled(net: nn.Module, tmp_path: Path, *size: int, **options: object) -> tuple[Path, cnnc.CompileReport]:
    path = tmp_path / "net.onnx"
    net.eval()
    report = cnnc.compile(net, torch.zeros(2, *size), path, fully_convolutional=True, device="cpu", **options).report
    return path, report


def scores(path: Path, image: np.ndarray) -> np.ndarray:
    with load(path, device="cpu") as engine:
        (found,) = engine.run({engine.inputs[0].name: image}).values()
    return found


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_without_padding_each_place_is_the_classifier_on_its_window(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = build("lenet5").eval()
    path, report = compiled(net, tmp_path, 1, 32, 32)
    assert report.sliding == Sliding((32, 32), (4, 4))
    image = noise(2, 1, 44, 52)
    found = scores(path, image)
    assert found.shape == (2, 10, 4, 6)
    with torch.no_grad():
        for i, j in itertools.product(range(4), range(6)):
            window = image[:, :, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32]
            np.testing.assert_allclose(found[:, :, i, j], net(torch.from_numpy(window)).numpy(), rtol=0, atol=1e-6)
    assert np.ptp(found, axis=(2, 3)).min() > 1e-3  # the windows do differ


@pytest.mark.parametrize("net", [VggLike(), ResnetLike()], ids=["vgg-like", "resnet-like"])
@pytest.mark.parametrize("more", [(0, 0), (7, 16), (32, 4)])
def test_padded_nets_give_the_head_on_each_window_of_the_map(net, more, tmp_path: Path) -> None:
    side = 4 * net.map if isinstance(net, VggLike) else 18
    path, report = compiled(net, tmp_path, 3, side, side)
    assert report.certificate is not None and report.certificate.error < 5e-6
    assert report.certificate.unproved_axes == ()
    assert "its head on each window of the feature map" in report.certificate.oracle
    image = noise(2, 3, side + more[0], side + more[1])
    with torch.no_grad():
        wide = net.double()
        features = wide.features(torch.from_numpy(image).double())
        windows = features.unfold(2, net.map, 1).unfold(3, net.map, 1)
        rows = [
            torch.stack([wide.on_window(windows[:, :, i, j]) for j in range(windows.shape[3])], -1)
            for i in range(windows.shape[2])
        ]
        expected = torch.stack(rows, 2).numpy()
        own = wide(torch.from_numpy(image[:, :, :side, :side]).double()).numpy()
        net.float()
    found = scores(path, image)
    assert found.shape == expected.shape == (2, 5, features.shape[2] - net.map + 1, features.shape[3] - net.map + 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * np.abs(expected).max())
    if more == (0, 0):
        np.testing.assert_allclose(found[:, :, 0, 0], own, rtol=0, atol=5e-6 * np.abs(own).max())


class ConvnextLike(nn.Module):
    """Channels last: PyTorch gives the pooled map other strides, which the exporter writes as a Gather."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), LayerNorm2d(8), Block(8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(LayerNorm2d(8), nn.Flatten(1), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(x)))


def test_channels_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path, report = compiled(ConvnextLike(), tmp_path, 3, 32, 32)
    assert report.sliding == Sliding((32, 32), (4, 4)) and "Gather" not in {n.op_type for n in ir.load(path).graph}
    assert scores(path, noise(2, 3, 40, 36)).shape == (2, 5, 3, 2)


def test_a_groupnorm_whose_sums_the_engine_rounds_too_much(tmp_path: Path) -> None:
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.MaxPool2d(8))
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    with torch.no_grad():
        body[0].bias += 1  # a mean that is large beside the deviation
    _, report = compiled(net, tmp_path, 3, 96, 96)
    assert report.passes.applied()["expand-instancenorm"] == 1
    assert report.certificate is not None and report.certificate.unproved_axes == ()


def test_what_was_proved_is_at_several_sizes_of_each_axis(tmp_path: Path) -> None:
    path, report = compiled(build("lenet5"), tmp_path, 1, 32, 32)
    assert report.certificate is not None
    assert {"height of 40 instead of 32", "width of 48 instead of 32"} <= set(report.certificate.cases)
    with load(path, device="cpu") as engine:
        assert engine.inputs[0].shape == ("batch", 1, "height", "width")
        assert engine.outputs[0].shape == (
            "batch",
            10,
            *(f"floor(floor({axis}/2)/2) - 7" for axis in ("height", "width")),
        )


def test_a_pooling_that_does_not_slide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the exported size any stride does; only larger images tell."""
    right = law._slide

    def wrong(pool):
        change = right(pool)
        if isinstance(change, law.Change) and pool.op_type == "GlobalAveragePool":
            change.insert[0].attributes.add(law.ir.AttrInt64s("strides", [2, 2]))
        return change

    monkeypatch.setattr(law, "_slide", wrong)
    monkeypatch.setattr(law, "_is_whole", lambda pool, size: False)  # else it would be put right again
    with pytest.raises(VerificationError, match=r"gives shape \(2, 5, 1, 1\), the original \(2, 5, 2, 1\)"):
        cnnc.compile(ResnetLike(), torch.zeros(2, 3, 18, 18), fully_convolutional=True, device="cpu")


def test_an_onnx_file_of_fixed_sizes(tmp_path: Path) -> None:
    net = ResnetLike().eval()
    fixed = tmp_path / "fixed.onnx"
    cnnc.compile(net, torch.zeros(1, 3, 18, 18), fixed, dynamic={}, target="portable", only=())
    compiled_again = cnnc.compile(str(fixed), output=tmp_path / "net.onnx", fully_convolutional=True, device="cpu")
    assert compiled_again.report.sliding == Sliding((18, 18), (4, 4))
    path, _ = compiled(net, tmp_path / "..", 3, 18, 18)
    image = noise(1, 3, 30, 26)
    np.testing.assert_allclose(scores(tmp_path / "net.onnx", image), scores(path, image), rtol=0, atol=1e-5)
    path.unlink()


def test_clips_slide_in_time_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 4, 3, stride=(1, 2, 2)), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 3 * 3, 3))
    path, report = compiled(net, tmp_path, 1, 6, 8, 8)
    assert report.sliding == Sliding((6, 8, 8), (1, 2, 2))
    clip = noise(1, 1, 7, 8, 10)
    found = scores(path, clip)
    assert found.shape == (1, 3, 2, 1, 2)
    with torch.no_grad():
        last = net(torch.from_numpy(clip[:, :, 1:, :, 2:])).numpy()
    np.testing.assert_allclose(found[:, :, 1, 0, 1], last, rtol=0, atol=1e-5)


def test_images_are_not_cropped_and_labels_are_checked(tmp_path: Path) -> None:
    prepare = dataclasses.replace(PRESETS["imagenet"], resize=(18, 40), crop=(18, 18))
    path, _ = compiled(ResnetLike(), tmp_path, 3, 18, 18, preprocessing=prepare, labels=list("abcde"))
    with load(path, device="cpu") as engine:
        assert engine.metadata is not None and engine.metadata.preprocessing is not None
        assert engine.metadata.preprocessing.crop is None and engine.metadata.preprocessing.resize == (18, 40)
        assert engine.metadata.report is not None
        assert engine.metadata.report["fully_convolutional"] == {"window": [18, 18], "stride": [4, 4]}
    with pytest.raises(UsageError, match="4 labels for 5 classes"):
        compiled(ResnetLike(), tmp_path, 3, 18, 18, labels=list("abcd"))


def test_preprocessing_may_be_embedded_as_well(tmp_path: Path) -> None:
    net = ResnetLike().eval()
    unit = Preprocessing(mean=(0.5,))
    path, report = compiled(net, tmp_path, 3, 18, 18, preprocessing=unit, embed_preprocessing=True)
    assert report.certificate is not None and "its preprocessing before it" in report.certificate.oracle
    assert "height of 21 instead of 18" in report.certificate.cases
    image = np.random.default_rng(0).integers(0, 256, (1, 26, 30, 3), np.uint8)
    plain, _ = compiled(net, tmp_path / "..", 3, 18, 18)
    np.testing.assert_allclose(scores(path, image), scores(plain, unit.normalized(image)), rtol=0, atol=1e-5)
    plain.unlink()


def test_the_artifact_verifies_alone_and_against_its_source(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    cnnc.compile("lenet5", output=path, fully_convolutional=True, device="cpu")
    alone, against = cnnc.verify_artifact(path, device="cpu"), cnnc.verify_artifact(path, "lenet5", device="cpu")
    assert alone.error < 5e-6 and against.error < 5e-6
    assert "its head on each window" in against.oracle


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "resnet18", "shufflenet_v2_x1_0", "mobilenet_v3_small", "convnext_tiny"]
)
def test_networks_of_the_zoo(name: str, tmp_path: Path) -> None:
    report = cnnc.compile(name, output=tmp_path / "net.onnx", fully_convolutional=True, device="cpu").report
    assert report.sliding == Sliding((224, 224), (32, 32))
    assert report.certificate is not None and report.certificate.error < 5e-6
    assert scores(tmp_path / "net.onnx", noise(1, 3, 256, 320)).shape == (1, 1000, 2, 4)
