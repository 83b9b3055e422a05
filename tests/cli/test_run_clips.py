"""A 3-D CNN from its module to `cnnc run` on real videos: results are those of PyTorch on the frames that are named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.runtime.films import decoded, numbered
from tests.runtime.models import relu

NET = """
import torch
from torch import nn


def block(a, b, pool):
    return nn.Sequential(nn.Conv3d(a, b, 3, padding=1, bias=False), nn.BatchNorm3d(b), nn.ReLU(), nn.MaxPool3d(pool))


class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(3)
        super().__init__(block(3, 8, (1, 2, 2)), block(8, 16, 2), block(16, 16, 2), nn.Flatten(), nn.Linear(512, 6))
"""


def cnnc(work, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "cnnc", *arguments],
        cwd=work,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The net compiled for every second frame, a film as wide as others are not, an odd one, a short one."""
    work = tmp_path_factory.mktemp("clips")
    (work / "net.py").write_text(NET)
    numbered(work / "film.mp4", 50, (64, 36))
    numbered(work / "odd.avi", 30, (51, 37), codec="MJPG")
    numbered(work / "short.mp4", 5, (40, 48))
    Image.new("RGB", (32, 32)).save(work / "a.png")
    result = cnnc(
        work,
        *("compile", "net.py:Net", "--input-shape", "1,3,8,32,32", "--preprocess", "kinetics", "--size", "36"),
        *("--crop", "32", "--clip-stride", "2", "--verify-data", "film.mp4", "--device", "cpu", "-o", "net.onnx"),
    )
    assert result.returncode == 0, result.stderr
    return work


def run(work, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cnnc(work, "run", "net.onnx", *arguments, "--device", "cpu")


def expected(work, name: str) -> np.ndarray:
    """PyTorch on the frames that an item's name names, prepared by Pillow and PyTorch alone."""
    file, start, stop, step = re.fullmatch(r"(.+)\[(\d+):(\d+)(?::(\d+))?\]", name).groups()
    frames = decoded(work / file)
    mean, std = (
        torch.tensor(values)[:, None, None] for values in ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
    )
    prepared = []
    for number in range(int(start), int(stop), int(step or 1)):
        image = Image.fromarray(frames[number % len(frames)])
        short = min(image.size)
        image = image.resize(tuple(int(36 * side / short) for side in image.size), Image.Resampling.BILINEAR)
        left, top = round((image.width - 32) / 2), round((image.height - 32) / 2)
        image = image.crop((left, top, left + 32, top + 32))
        prepared.append((torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - mean) / std)
    assert len(prepared) == 8
    space: dict = {}
    exec(NET, space)
    with torch.no_grad():
        return space["Net"]().eval()(torch.stack(prepared, 1)[None])[0].numpy()


@pytest.mark.parametrize(
    ("arguments", "items"),
    [
        ((), ["film.mp4[17:33:2]", "odd.avi[7:23:2]", "short.mp4[0:16:2]"]),
        (("--clips", "all", "--clip-stride", "3"), ["film.mp4[0:24:3]", "film.mp4[24:48:3]", "odd.avi[0:24:3]"]),
        (("--clips", "3", "--clip-stride", "1"), ["film.mp4[0:8]", "film.mp4[21:29]", "film.mp4[42:50]"]),
    ],
)
def test_results_are_pytorchs_on_the_frames_that_are_named(work, arguments, items):
    result = run(work, "film.mp4", "odd.avi", "short.mp4", *arguments, "-o", "out.npz", "--force")
    assert result.returncode == 0, result.stderr
    with np.load(work / "out.npz") as arrays:
        names = list(arrays)
        assert names[: len(items)] == items or (not arguments and names == items)
        for name in names:
            np.testing.assert_allclose(arrays[name], expected(work, name), rtol=1e-4, atol=1e-5)


def test_the_artifact_says_its_sampling(work):
    result = run(work, "film.mp4", "--json", "--top", "2")
    document = json.loads(result.stdout)
    assert document["preprocessing"]["clip_stride"] == 2
    assert document["batch"] == 8
    assert [one["name"] for one in document["results"]] == ["film.mp4[17:33:2]"]


def test_arrays_run_as_before(work):
    np.save(work / "two.npy", np.zeros((2, 3, 8, 32, 32), np.float32))
    result = run(work, "two.npy", "--json")
    assert [one["name"] for one in json.loads(result.stdout)["results"]] == ["two.npy[0]", "two.npy[1]"]


def test_a_run_goes_on_only_with_the_same_clips(work):
    (work / "cut.mp4").write_bytes(b"no film")
    arguments = ("film.mp4", "cut.mp4", "odd.avi", "-o", "kept.csv", "--clips", "all")
    assert run(work, *arguments, "--fail-fast").returncode == 3
    result = run(work, *arguments, "--resume", "--clip-stride", "1")
    assert result.returncode == 2 and "the clips differs" in result.stderr
    result = run(work, *arguments, "--resume")
    assert result.returncode == 10 and "going on after 3 finished items" in result.stderr
    rows = (work / "kept.csv").read_text().splitlines()[1:]
    names = list(dict.fromkeys(row.split(",")[0] for row in rows))
    assert names == [*(f"film.mp4[{n}:{n + 16}:2]" for n in (0, 16, 32)), "cut.mp4", "odd.avi[0:16:2]"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["film.mp4", "--every", "3"], 2, "this one takes clips: --clip-stride 3"),
        (["film.mp4", "--clip-length", "16"], 2, "clips of 8 frames, not 16"),
        (["film.mp4", "--clips", "0"], 2, "--clips"),
        (["film.mp4", "--clips", "some"], 2, "or all"),
        (["film.mp4", "--clip-stride", "0"], 2, "--clip-stride"),
        (["a.png"], 3, "a.png is one picture, the net takes clips"),
        (["none.mp4"], 3, "no such file"),
    ],
)
def test_bad_calls(work, arguments, code, message):
    result = run(work, *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert message in line


def test_a_net_that_takes_frames_has_no_clips(work):
    (work / "image.onnx").write_bytes(relu())
    result = cnnc(work, "run", "image.onnx", "film.mp4", "--clips", "2", "--device", "cpu")
    assert result.returncode == 2 and "--clips is for nets that take clips" in result.stderr
    result = cnnc(work, "compile", "lenet5", "--clip-stride", "2", "-o", "lenet.onnx")
    assert result.returncode == 2 and "`clip_stride` is for an input (N, C, T, H, W)" in result.stderr


def test_the_arithmetic_of_clips_stays_outside(work):
    embedded = ("--preprocess", "unit", "--embed-preprocessing", "-o", "embedded.onnx")
    result = cnnc(work, "compile", "net.py:Net", "--input-shape", "1,3,8,32,32", *embedded)
    assert result.returncode == 2 and "is clips: preprocessing of images only can be embedded" in result.stderr


def test_a_net_of_open_length_is_told_it(work):
    (work / "open.onnx").write_bytes(relu(("n", 3, "t", 8, 8)))
    result = cnnc(work, "run", "open.onnx", "film.mp4", "--device", "cpu")
    assert result.returncode == 2 and "--clip-length N" in result.stderr
    result = cnnc(work, "run", "open.onnx", "film.mp4", "--clip-length", "5", "--json", "--device", "cpu")
    (one,) = json.loads(result.stdout)["results"]
    assert one["name"] == "film.mp4[22:27]" and one["outputs"]["y"]["shape"] == [3, 5, 8, 8]
    assert "assumed: RGB, resized to 8x8" in result.stderr


def test_large_clips_run_few_at_a_time():
    from cnnc.cli.clip_options import clip_batch
    from cnnc_runtime import TensorSpec

    def batch(*shape: int | str) -> int | None:
        return clip_batch([TensorSpec("x", np.dtype("float32"), shape)])

    assert batch("n", 3, 16, 112, 112) == 8
    assert batch("n", 3, 16, 224, 224) == 3
    assert batch("n", 3, 64, 224, 224) == 1
    assert batch("n", 3, 512, 512, 512) == 1
    assert batch("n", 3, 224, 224) is None
    assert batch(4, 3, 16, 112, 112) is None
