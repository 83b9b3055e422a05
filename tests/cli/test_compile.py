"""`cnnc compile` as a user types it: a file of his own, a checkpoint, one document on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        print("building")
        self.conv, self.bn, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, classes)

    def forward(self, x):
        print("running")
        return self.head(torch.relu(self.bn(self.conv(x))).mean((2, 3)))
"""


def cnnc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", "compile", "net.py:Net", "--input-shape", "1,3,8,8", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "labels.txt").write_text("ant\nbee\n", encoding="utf-8")
    return tmp_path


def test_json_is_one_document_whatever_the_network_prints(work: Path) -> None:
    options = ("--arg", "classes=2", "--labels", "labels.txt", "--preprocess", "symmetric")
    done = cnnc(work, "-o", "net.onnx", "--json", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["applied"] == {"fold-batchnorm": 1, "reduce-to-pool": 1}
    assert 0 < report["certificate"]["error"] < 1e-5
    assert "building" in done.stderr and "running" in done.stderr


def test_weights_of_a_wrapped_checkpoint_and_the_table(work: Path) -> None:
    weights = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "head.weight": (4, 8), "head.bias": (4,)}
    weights |= {f"bn.{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")}
    state = {f"module.{key}": torch.rand(shape) for key, shape in weights.items()}
    torch.save({"state_dict": state | {"module.bn.num_batches_tracked": torch.tensor(0)}}, work / "net.pt")
    done = cnnc(work, "-o", "net.onnx", "--weights", "net.pt", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "the engine fuses: activation in Conv ×1; leaves on their own: nothing" in done.stdout
    assert "layout conversions left in the engine's graph: " in done.stdout
    assert "verified on CPUExecutionProvider against the PyTorch module in float64" in done.stdout
    assert (work / "net.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--labels", "labels.txt"), 2, "2 labels for 4 classes"),
        (("--preprocess", "imagenet"), 2, "images become 224x224, the input is 8x8"),
        (("--static", "--dynamic", "x:0=n"), 2, "--static fixes every axis"),
        (("--dynamic", "x:0=n", "--dynamic", "x:0=m"), 2, "the axis is given twice"),
        (("--size", "16"), 2, "give --size 8,8, or --crop 8,8 as well"),
        (("--passes", " ,"), 2, "name at least one pass"),
        (("--arg", "classes"), 2, "give KEY=VALUE"),
        (("--arg", "class=2"), 3, "unexpected keyword argument 'class'"),
        (("--weights", "labels.txt"), 3, "labels.txt is no PyTorch checkpoint"),
        (("--device", "cuda"), 8, "cuda:0 cannot be used"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    work: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    if code == 8 and torch.cuda.is_available():
        arguments, message = ("--device", "cuda:99"), "cuda:99 cannot be used"
    done = cnnc(work, "-o", "net.onnx", *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr
    assert {path.name for path in work.iterdir()} <= {"net.py", "labels.txt", "__pycache__"}


def test_passes_may_be_spaced(work: Path) -> None:
    done = cnnc(work, "-o", "net.onnx", "--json", "--passes", "infer-shapes, fold-batchnorm,")
    assert json.loads(done.stdout)["applied"] == {"fold-batchnorm": 1}


def test_a_pipe_is_not_replaced_by_the_artifact(work: Path) -> None:
    os.mkfifo(work / "net.onnx")
    done = cnnc(work, "-o", "net.onnx", "--force")
    assert done.returncode == 9 and "not a regular file" in done.stderr
    assert (work / "net.onnx").is_fifo()


STEP = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x, h):
        h = 0.5 * h + torch.tanh(self.conv(x))
        return h.mean((2, 3)), h
"""


def test_a_step_function_names_its_state(work: Path) -> None:
    (work / "net.py").write_text(STEP, encoding="utf-8")
    shapes = ("--input-shape", "h:1,4,8,8", "-o", "net.onnx", "--device", "cpu")
    command = [sys.executable, "-m", "cnnc", "compile", "net.py:Net", "--input-shape", "x:1,3,8,8", *shapes]
    wrong = subprocess.run([*command, "--state", "g"], cwd=work, capture_output=True, encoding="utf-8")
    assert (wrong.returncode, wrong.stderr) == (2, "cnnc: states: no input is named 'g'; the inputs are x, h\n")
    done = subprocess.run([*command, "--state", "h", "--json"], cwd=work, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "frame 4 of 4, states fed back" in json.loads(done.stdout)["certificate"]["cases"]
