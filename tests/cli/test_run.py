"""`cnnc run`, as a user meets it: in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import Metadata, Preprocessing
from tests.runtime.models import channel_means

LABELS = ("red", "green", "blue [b]")


@pytest.fixture
def work(tmp_path):
    """A folder with two nets, three pictures and a bad one."""
    (tmp_path / "net.onnx").write_bytes(channel_means())
    described = Metadata("1", "net.py:Net", "portable", Preprocessing(resize=(8, 8)), LABELS, certificate={})
    (tmp_path / "described.onnx").write_bytes(channel_means(metadata=described))
    unproved = Metadata("1", "net.py:Net", "portable", Preprocessing(resize=(8, 8)))
    (tmp_path / "unproved.onnx").write_bytes(channel_means(metadata=unproved))
    for channel, color in enumerate(("red", "green", "blue")):
        Image.new("RGB", (20, 10), tuple(200 * (channel == c) for c in range(3))).save(tmp_path / f"{color} é.png")
    (tmp_path / "bad.jpg").write_text("no image")
    return tmp_path


def cnnc(work, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "cnnc", "run", *arguments],
        cwd=work,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert "Traceback" not in result.stderr
    return result


def test_a_table_for_the_reader(work):
    result = cnnc(work, "described.onnx", "red é.png", "blue é.png", "--top", "1", "--device", "cpu")
    assert (result.returncode, result.stderr) == (0, "")
    header, first, second, last = result.stdout.splitlines()
    assert header.split() == ["item", "class", "score"]
    assert first.startswith("red é.png") and " red " in first
    assert second.startswith("blue é.png") and " blue [b] " in second
    assert "CPUExecutionProvider" in last and "softmax" in last


def test_one_json_document_and_nothing_else(work):
    result = cnnc(work, "described.onnx", ".", "--json", "--device", "cpu")
    assert result.returncode == 10  # the folder holds bad.jpg
    document = json.loads(result.stdout)
    assert document["provider"] == "CPUExecutionProvider"
    assert document["preprocessing"]["resize"] == [8, 8]
    tops = {one["name"]: one["outputs"]["y"]["top"][0]["label"] for one in document["results"]}
    assert tops == {"blue é.png": "blue [b]", "green é.png": "green", "red é.png": "red"}
    assert [one["name"] for one in document["failed"]] == ["bad.jpg"]
    assert "bad.jpg" in result.stderr and "1 of 4 items failed" in result.stderr


def test_the_assumed_preprocessing_is_said(work):
    result = cnnc(work, "net.onnx", "red é.png", "--device", "cpu")
    assert result.returncode == 0
    (line,) = result.stderr.splitlines()
    assert "assumed: RGB, resized to 8x8, values 0..1" in line and "--preprocess imagenet" in line


def test_arrays_need_no_preprocessing(work):
    np.save(work / "x.npy", np.eye(3, dtype=np.float32)[:, :, None, None] * np.ones((8, 8), np.float32))
    result = cnnc(work, "net.onnx", "x.npy", "--json", "--device", "cpu", "--batch", "2")
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["preprocessing"] is None and document["batch"] == 2
    assert [one["outputs"]["y"]["top"][0]["index"] for one in document["results"]] == [0, 1, 2]


def test_an_unproved_artifact_is_marked(work):
    (line,) = cnnc(work, "unproved.onnx", "red é.png", "--device", "cpu").stderr.splitlines()
    assert "unverified" in line


def test_auto_says_which_device_it_took(work):
    result = cnnc(work, "described.onnx", "red é.png", "--json")
    assert result.returncode == 0
    if json.loads(result.stdout)["provider"] == "CPUExecutionProvider":
        assert result.stderr.count("running on the CPU") == 1


def test_labels_from_a_file(work):
    (work / "names.txt").write_text("eins\nzwei\ndrei\n")
    result = cnnc(work, "net.onnx", "green é.png", "--labels", "names.txt", "--top", "1", "--device", "cpu")
    assert "zwei" in result.stdout
    (work / "names.txt").write_text("eins\n")
    result = cnnc(work, "net.onnx", "green é.png", "--labels", "names.txt", "--device", "cpu")
    assert result.returncode == 3 and "1 labels for 3 classes" in result.stderr


def test_a_single_bad_item_is_its_own_error(work):
    result = cnnc(work, "described.onnx", "bad.jpg", "--json", "--device", "cpu")
    assert (result.returncode, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("cnnc: bad.jpg is not an image")


def test_nothing_is_written_when_nothing_succeeds(work):
    (work / "out.csv").write_text("precious")
    before = set(work.iterdir())
    for inputs, code in ((["bad.jpg"], 3), (["bad.jpg", "missing.png"], 10)):
        result = cnnc(work, "described.onnx", *inputs, "-o", "out.csv", "--force", "--device", "cpu")
        assert result.returncode == code
    assert "missing.png" in result.stderr
    assert (work / "out.csv").read_text() == "precious"
    assert set(work.iterdir()) == before


def test_output_files(work):
    for name in ("out.csv", "out.jsonl", "-out.npz"):
        result = cnnc(work, "described.onnx", "red é.png", f"--output={name}", "--device", "cpu")
        assert (result.returncode, result.stdout) == (0, "")
        assert "wrote 1 result of CPUExecutionProvider" in result.stderr
        assert (work / name).stat().st_size > 0
        again = cnnc(work, "described.onnx", "red é.png", f"--output={name}", "--device", "cpu")
        assert again.returncode == 9 and "--force" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net.onnx"], 2, "INPUT"),
        (["net.onnx", "red é.png", "--batch", "0"], 2, "--batch"),
        (["net.onnx", "red é.png", "--batch", "-1"], 2, "--batch"),
        (["net.onnx", "red é.png", "--batch", "1000000000"], 2, "--batch"),
        (["net.onnx", "red é.png", "--device", "gpu"], 2, "choose auto"),
        (["net.onnx", "red é.png", "-o", "out.txt"], 2, ".jsonl"),
        (["net.onnx", "red é.png", "-o", "missing/out.csv"], 9, "missing"),
        (["net.onnx", "red é.png", "--labels", "missing.txt"], 3, "missing.txt"),
        (["missing.onnx", "red é.png"], 3, "missing.onnx"),
        (["bad.jpg", "red é.png"], 3, "bad.jpg"),
        (["net.onnx", "missing.png"], 3, "missing.png"),
    ],
)
def test_bad_calls(work, arguments, code, message):
    result = cnnc(work, *arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert result.stdout == ""


def test_a_terminal_without_unicode(work):
    result = cnnc(work, "described.onnx", "red é.png", "--device", "cpu", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert r"red \xe9.png" in result.stdout


def test_a_reader_that_goes_away(work):
    np.save(work / "x.npy", np.zeros((3000, 3, 8, 8), np.float32))
    command = [sys.executable, "-m", "cnnc", "run", "net.onnx", "x.npy", "--device", "cpu"]
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


def test_nan_in_the_outputs_is_said(work):
    np.save(work / "x.npy", np.full((1, 3, 8, 8), 3e38, np.float32))  # its sum overflows
    result = cnnc(work, "net.onnx", "x.npy", "--json", "--device", "cpu")
    assert result.returncode == 0
    assert json.loads(result.stdout)["results"][0]["outputs"]["y"]["non_finite"] == 3
    assert "NaN or infinity in the outputs of 1 of 1" in result.stderr
