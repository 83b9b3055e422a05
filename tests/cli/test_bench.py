"""`cnnc bench` as a user types it: tables, one document, one line for a mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc_runtime import Metadata
from tests.runtime.models import channel_means

QUICK = ("--rounds", "1", "--seconds", "0.01", "--device", "cpu", "--threads", "1")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(channel_means(metadata=Metadata("1", "net", "portable", certificate={})))
    (tmp_path / "bad.onnx").write_text("no model", encoding="ascii")
    return tmp_path


def cnnc(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", "bench", *arguments]
    done = subprocess.run(command, cwd=work, capture_output=True, encoding="utf-8", timeout=120)
    assert "Traceback" not in done.stderr
    return done


def test_tables_for_the_reader_and_a_plot(work: Path) -> None:
    done = cnnc(work, "net.onnx", "--against", "bare:net.onnx", "--batch", "1,2", "--plot", "plot.html", *QUICK)
    assert (done.returncode, done.stderr) == (0, "cnnc: wrote plot.html\n")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:6] == ["contender", "batch", "threads", "p50", "p90", "p99"]
    assert [line.split()[:3] for line in lines[1:5]] == [
        [name, batch, "1"] for name in ("net.onnx", "bare:net.onnx") for batch in ("1", "2")
    ]
    assert lines[6].startswith("cold start") and "import" in lines[6] and "first run" in lines[6]
    assert "each contender in a process of its own" in done.stdout and "usable cores" in done.stdout
    assert (work / "plot.html").stat().st_size > 1e6


def test_one_json_document_and_nothing_else(work: Path) -> None:
    done = cnnc(work, "net.onnx", "--json", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["schema"] == 1 and document["device"] == "cpu" and document["rounds"] == 1
    (row,) = document["results"]
    assert row["contender"] == "net.onnx" and row["provider"] == "CPUExecutionProvider"
    assert row["inputs"] == {"x": "float32 1x3x8x8"} and row["threads"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("net.onnx", "--batch", "a"), 2, "give numbers, such as 1,8"),
        (("net.onnx", "--plot", "p.gif"), 2, "a plot is .html"),
        (("net.onnx", "--plot", "none/p.html"), 9, "does not exist"),
        (("bad.onnx",), 3, "bad.onnx"),
        (("net.onnx", "--device", "cuda"), 8, "cuda:0 cannot be used"),
        (("net.onnx", "--input-shape", "1,3"), 2, "--input-shape does not fit it"),
    ],
)
def test_a_mistake_is_one_line(work: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = cnnc(work, *arguments)
    assert done.returncode == code and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
