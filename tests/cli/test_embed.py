"""`cnnc compile --embed-preprocessing`, then `cnnc run` on pictures, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cnnc_runtime import Preprocessing, load

NET = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) * 100
"""


def cnnc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cnnc", *arguments], cwd=folder, capture_output=True, encoding="utf-8")


def test_compiled_with_its_preprocessing_inside_it_runs_on_pictures(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (31, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    source = ("compile", "net.py:Net", "--input-shape", "1,3,8,9", "-o", "net.onnx", "--embed-preprocessing")
    options = ("--letterbox", "--fill", "114", "--mean", "0.4,0.5,0.6", "--color", "bgr")
    done = cnnc(tmp_path, *source, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert "its preprocessing before it" in json.loads(done.stdout)["certificate"]["oracle"]
    ran = cnnc(tmp_path, "run", "net.onnx", "a.png", "--device", "cpu", "-o", "out.npz", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["preprocessing"]["embedded"] is True
    outside = Preprocessing((8, 9), letterbox=True, fill=(114,), mean=(0.4, 0.5, 0.6), color="bgr")
    expected = torch.from_numpy(outside(Image.fromarray(pixels))).mean((1, 2)) * 100
    with load(tmp_path / "net.onnx", device="cpu") as engine:
        assert engine.metadata is not None and engine.metadata.preprocessing is not None
        (got,) = engine.run({"x": engine.metadata.preprocessing(Image.fromarray(pixels))[None]}).values()
    np.testing.assert_allclose(got[0], expected.numpy(), rtol=1e-5)
    with np.load(tmp_path / "out.npz") as stored:
        assert any(np.allclose(array.reshape(-1), got[0]) for array in stored.values() if array.size == 3)


def test_without_a_preprocessing_there_is_none_to_embed(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    done = cnnc(tmp_path, "compile", "net.py:Net", "--input-shape", "1,3,8,9", "-o", "n.onnx", "--embed-preprocessing")
    assert done.returncode == 2 and not (tmp_path / "n.onnx").exists()
    assert done.stderr.startswith("cnnc: there is no preprocessing to embed") and done.stderr.count("\n") == 1
