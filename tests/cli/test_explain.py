"""`cnnc compile --explain`, then `cnnc run --explain-out` on pictures, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnc import compile as compile_net
from cnnc_runtime import load

# Class 0 speaks for bright places, class 1 for dark ones.
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 4, stride=4), nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight[0], self.conv.weight[1] = 1 / 48, -1 / 48
            self.conv.bias[:] = torch.tensor([-0.6, 0.4])
            self.fc.weight[:], self.fc.bias[:] = torch.tensor([[9.0, -1.0], [-1.0, 1.0]]), 0

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
"""
SQUARE = (slice(60, 100), slice(220, 260))  # of 200x320 pixels: inside the center crop of 180x180


def cnnc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cnnc", *arguments], cwd=folder, capture_output=True, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net compiled twice, with a heat map for a class that is asked for and without one, and pictures."""
    folder = tmp_path_factory.mktemp("explain")
    (folder / "net.py").write_text(NET, encoding="utf-8")
    (folder / "labels.txt").write_text("bright\ndark\n", encoding="utf-8")
    source = ("compile", "net.py:Net", "--input-shape", "1,3,72,72", "--size", "80", "--crop", "72,72")
    asked = ("--explain", "gradcam", "--explain-class", "input", "--labels", "labels.txt", "-o", "asked.onnx")
    done = cnnc(folder, *source, *asked)
    assert done.returncode == 0, done.stderr
    for name, how in (("plain.onnx", None), ("top.onnx", "cam")):
        shapes = ["1,3,72,72"]
        compile_net(f"{folder / 'net.py'}:Net", output=folder / name, input_shapes=shapes, explain=how, prove=False)
    pixels = np.full((200, 320, 3), 40, np.uint8)
    pixels[SQUARE] = 250
    for name in ("pics/a/x.png", "pics/b/x.jpg", "pics/x.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    (folder / "pics" / "broken.png").write_bytes(b"no picture")
    return folder


def test_the_map_lies_over_the_bright_square_of_each_picture(folder: Path) -> None:
    done = cnnc(
        folder, "run", "asked.onnx", "pics", "--device", "cpu", "--explain-out", "out", "--class", "bright", "--json"
    )
    assert done.returncode == 10 and "broken.png" in done.stderr, done.stderr  # the others are done
    written = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.png"))
    assert written == ["a/x.png", "b/x.png", "x.png"]
    results = json.loads(done.stdout)["results"]
    assert [list(result["outputs"]) for result in results] == [["linear", "heat_map"]] * 3
    overlay = np.asarray(Image.open(folder / "out" / "x.png")).astype(int)
    assert overlay.shape == (200, 320, 3)
    redness = overlay[..., 0] - overlay[..., 2]
    rows, columns = np.nonzero(redness > 30)
    inside = (rows >= 56) & (rows < 104) & (columns >= 216) & (columns < 264)  # a cell is 10 pixels
    assert inside.all() and inside.sum() > 400
    assert (overlay[:5, :5] == 40).all() and (overlay[100, :60] == 40).all()  # what the crop cut off


def test_without_a_class_it_is_the_top_one_and_a_run_goes_on(folder: Path) -> None:
    run = ("run", "asked.onnx", "pics/a", "pics/b", "--device", "cpu", "--explain-out", "top", "-o", "top.jsonl")
    assert cnnc(folder, *run).returncode == 0
    first = {path.parent.name: path.read_bytes() for path in (folder / "top").rglob("x.png")}
    assert set(first) == {"a", "b"}
    again = cnnc(folder, *run, "--resume", "--force")
    assert again.returncode == 0 and {path.name for path in (folder / "top").rglob("*.png")} == {"x.png"}, again.stderr
    asked = cnnc(folder, "run", "asked.onnx", "pics/a", "--device", "cpu", "--explain-out", "dark", "--class", "1")
    assert asked.returncode == 0
    assert (folder / "dark" / "x.png").read_bytes() == first["a"]  # dark is the top class: there is more of it


def test_in_python_the_heat_map_is_an_output_like_others(folder: Path) -> None:
    x = np.random.default_rng(0).random((2, 3, 72, 72), np.float32)
    with load(folder / "top.onnx", device="cpu") as engine:
        scores, heat = engine.run(x)
        assert scores.shape == (2, 2) and heat.shape == (2, 18, 18)
        assert engine.metadata is not None and engine.metadata.explanation is not None
        assert engine.metadata.explanation.method == "cam"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plain.onnx", "--explain-out", "o"), "no heat map: compile it with one, cnnc compile ... --explain gradcam"),
        (("plain.onnx", "--class", "1"), "--class is of heat maps"),
        (("top.onnx", "--explain-out", "o", "--class", "1"), "compile it with --explain-class input"),
        (("asked.onnx", "--explain-out", "o", "--class", "2"), "there are 2 classes, 0 to 1"),
        (("asked.onnx", "--explain-out", "o", "--class", "brigth"), "no class is labeled 'brigth'"),
        (("top.onnx", "--explain-out", "o", "--mask-out", "o"), "are the same folder"),
    ],
)
def test_what_cannot_be_drawn_is_said(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = cnnc(folder, "run", arguments[0], "pics/x.png", "--device", "cpu", *arguments[1:])
    assert done.returncode == 2 and message in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--explain", "heat"), "give cam, gradcam or gradcam:LAYER"),
        (("--explain-class", "input"), "add --explain gradcam"),
    ],
)
def test_what_cannot_be_compiled_is_said(folder: Path, options: tuple[str, ...], message: str) -> None:
    done = cnnc(folder, "compile", "net.py:Net", "--input-shape", "1,3,72,72", "-o", "no.onnx", *options)
    assert done.returncode == 2 and message in done.stderr and not (folder / "no.onnx").exists(), done.stderr
