"""What `cnnc run` takes and says: patterns, lists, videos, Parquet, failures in the output, the bar."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cnnc_runtime import Metadata, Preprocessing
from tests.runtime.models import add, channel_means, relu
from tests.runtime.test_video import film


@pytest.fixture
def work(tmp_path):
    """A net that names the strongest color, and pictures of each."""
    described = Metadata("1", "net.py:Net", "portable", Preprocessing(resize=(8, 8)), ("r", "g", "b"), certificate={})
    (tmp_path / "net.onnx").write_bytes(channel_means(metadata=described))
    for color in ("red", "lime", "blue"):
        (tmp_path / "pics" / color).mkdir(parents=True)
        Image.new("RGB", (20, 10), color).save(tmp_path / "pics" / color / "1.png")
    (tmp_path / "bad.jpg").write_text("no image")
    return tmp_path


def cnnc(work, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "cnnc", "run", *arguments, "--device", "cpu"],
        cwd=work,
        env={**os.environ, **environment},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert "Traceback" not in result.stderr
    return result


def test_every_kind_of_input_in_one_run(work):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "lime").save(buffer, "JPEG")
    pq.write_table(pa.table({"image": [{"bytes": buffer.getvalue(), "path": None}]}), work / "data.parquet")
    film(work / "film.avi")
    np.savez(work / "x.npz", one=np.zeros((3, 8, 8), np.float32))
    inputs = ("pics/r*/*.png", "pics/blue", "-", "data.parquet", "film.avi", "x.npz")
    result = cnnc(work, "net.onnx", *inputs, "--every", "10", "--json", stdin="pics/lime/1.png\n")
    assert (result.returncode, result.stderr) == (0, "")
    tops = {one["name"]: one["outputs"]["y"]["top"][0]["label"] for one in json.loads(result.stdout)["results"]}
    assert list(tops.items()) == [
        ("pics/red/1.png", "r"),
        ("pics/blue/1.png", "b"),
        ("pics/lime/1.png", "g"),
        ("data.parquet[0]", "g"),
        ("film.avi[0]", "g"),
        ("film.avi[10]", "r"),
        ("x.npz:one", "r"),
    ]


def test_a_bad_item_is_a_row_with_its_error(work):
    expected = "bad.jpg is not an image that can be read"
    for suffix in ("csv", "jsonl", "parquet", "npz"):
        result = cnnc(work, "net.onnx", "pics/red", "bad.jpg", "pics/blue", "-o", f"out.{suffix}", "--top", "1")
        assert result.returncode == 10
        skipped, wrote, last = result.stderr.splitlines()
        assert skipped.startswith(f"cnnc: skipped {expected}") and last == "cnnc: 1 of 3 items failed"
        assert wrote.startswith("cnnc: wrote 2 results of CPUExecutionProvider to out.") and wrote.endswith(
            ", 1 failed"
        )
        assert " items/s)" in wrote
    with (work / "out.csv").open(newline="") as file:
        rows = [(row["name"], row["error"]) for row in csv.DictReader(file)]
    lines = [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]
    table = pq.read_table(work / "out.parquet").to_pylist()
    for found in (
        rows,
        [(line["name"], line.get("error", "")) for line in lines],
        [(row["name"], row["error"] or "") for row in table],
    ):
        (first, bad, last) = found
        assert (first, last) == (("pics/red/1.png", ""), ("pics/blue/1.png", ""))
        assert bad[0] == "bad.jpg" and bad[1].startswith(expected)
    with np.load(work / "out.npz") as arrays:
        assert set(arrays) == {"pics/red/1.png", "pics/blue/1.png", "errors"}
        ((name, reason),) = arrays["errors"]
    assert name == "bad.jpg" and reason.startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere/"], 3, "no such file"),
        (["*.gif"], 3, "*.gif fits no file"),
        (["-"], 3, "standard input names no files"),
        (["-", "-"], 2, "once"),
        (["pics", "-o", "out.xlsx"], 2, ".parquet"),
        (["pics", "--every", "0"], 2, "--every"),
        (["pics", "--timeout", "0"], 2, "--timeout"),
        (["pics", "--timeout", "nan"], 2, "timeout"),
        (["bad.jpg", "--fail-fast"], 3, "bad.jpg is not an image"),
    ],
)
def test_bad_calls(work, arguments, code, message):
    result = cnnc(work, "net.onnx", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    (line,) = result.stderr.splitlines()
    assert message in line


def test_a_net_whose_input_is_no_image(work):
    (work / "wide.onnx").write_bytes(relu(("n", 7, 8, 8)))
    (work / "two.onnx").write_bytes(add())
    result = cnnc(work, "wide.onnx", "pics/red/1.png")
    assert result.returncode == 3 and "1 or 3 channels" in result.stderr and ".npy" in result.stderr
    result = cnnc(work, "two.onnx", "pics/red/1.png")
    assert result.returncode == 3 and "the net takes ['a', 'b']" in result.stderr


def test_missing_extras_are_named(work):
    (work / "site" / "cv2").mkdir(parents=True)
    (work / "site" / "pyarrow").mkdir()
    for package in ("cv2", "pyarrow"):
        (work / "site" / package / "__init__.py").write_text("raise ImportError('not here')")
    film(work / "film.avi")
    path = os.pathsep.join([str(work / "site"), os.environ.get("PYTHONPATH", "")])
    for arguments, extra in ((["film.avi"], "video"), (["pics", "-o", "out.parquet"], "parquet")):
        result = cnnc(work, "net.onnx", *arguments, PYTHONPATH=path)
        (line,) = result.stderr.splitlines()
        assert result.returncode == 2 and f"pip install 'cnnc[{extra}]'" in line


def test_a_bar_with_rate_is_shown_on_a_terminal_only(work):
    names = [f"pics/red/{number}.png" for number in range(2, 600)]
    for name in names:
        (work / name).hardlink_to(work / "pics" / "red" / "1.png")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cnnc", "run", "net.onnx", "pics", "-o", "out.csv", "--device", "cpu"]
    with subprocess.Popen(command, cwd=work, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the other side was closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(ours)
    text = shown.decode()
    assert "running" in text and "/601" in text and "/s" in text
    assert text.rstrip().endswith("items/s)") and "wrote 601 results" in text
