"""`cnnc analyze`: one JSON document, CSV or a table on stdout; errors with their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper, save

from cnnc.cli.analyze import command


@pytest.fixture
def net(tmp_path: Path) -> str:
    """Six 5x5 filters on images of 3 channels and open size."""
    made = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w_"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6, None, None])],
        [
            numpy_helper.from_array(np.zeros((6, 3, 5, 5), np.float32), "w"),
            numpy_helper.from_array(np.zeros(6, np.float32), "b"),
        ],
    )
    path = tmp_path / "net.onnx"
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return str(path)


def test_json_is_one_document_with_the_lectures_figures(net: str) -> None:
    result = CliRunner().invoke(command, [net, "--json", "--input-shape", "x:1,3,32,32"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["totals"]["params"] == 456
    assert document["layers"][0]["name"] == "conv"
    assert document["layers"][0]["fully_connected"]["params"] == 14_455_392


def test_table_and_csv(net: str) -> None:
    table = CliRunner().invoke(command, [net, "--input-shape", "1x3x32x32"])
    assert table.exit_code == 0
    assert "(32 - 5)/1 + 1 = 28" in table.stdout and "14.5 M" in table.stdout
    assert table.stdout.rstrip().endswith("batch 1")
    rows = CliRunner().invoke(command, [net, "--csv", "--input-shape", "1,3,32,32"]).stdout.splitlines()
    assert rows[1].startswith("conv,y,Conv,convolution,1x3x32x32,1x6x28x28,")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--json"], 2, "--input-shape"),
        (["--json", "--csv"], 2, "give one of them"),
        (["--example", "ex.py:x"], 2, "is a graph already"),
        (["--input-shape", "1,4,32,32"], 2, "has the shape"),
        (["--input-shape", "1,3,4,4"], 3, "does not fit"),
        (["--convention", "nvtop"], 2, "fvcore, ptflops"),
        (["--mean", "0.5"], 2, "give --activations DATA"),
        (["--fit", "much"], 2, "'much' is no size"),
        (["--html", "missing/page.html"], 9, "does not exist"),
        (["--input-shape", "1,3,32,32", "--compare", "nowhere.onnx"], 3, "nowhere.onnx"),
        (["--input-shape", "1,3,32,32", "--activations", "nowhere"], 3, "nowhere"),
    ],
)
def test_mistakes_end_with_one_line_and_their_code(net: str, arguments: list[str], code: int, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnnc", "analyze", net, *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_example_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build(): return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))\n"
        "def ids(): return torch.tensor([[1, 2, 3]])\n"
    )
    arguments = [f"{tmp_path}/net.py:build", "--example", f"{tmp_path}/net.py:ids", "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["totals"]["params"] == 5 * 4 + 4 * 2 + 2
    assert CliRunner().invoke(command, [*arguments, "--input-shape", "1,3"]).exit_code == 2


def test_what_was_asked_for_beyond_the_layers(net: str) -> None:
    options = ["--input-shape", "1,3,32,32", "--prove", "--fit", "1MiB", "--convention", "all", "--compare", net]
    text = CliRunner().invoke(command, [net, *options])
    assert text.exit_code == 0, text.output
    assert "14,450,688 weights" in text.stdout and "share 450 values" in text.stdout
    assert "a batch of 33 fits in 1,048,576 bytes" in text.stdout
    assert "fvcore: " in text.stdout and "1 of 1 layers are the same" in text.stdout
    document = json.loads(CliRunner().invoke(command, [net, *options, "--json"]).stdout)
    assert document["dense_proofs"][0]["used"] == 352_800
    assert document["fit"]["largest_batch"] == 33
    assert {one["convention"] for one in document["conventions"]} == {
        *("fvcore", "ptflops", "torchinfo", "thop", "flopcounter")
    }
    assert document["comparison"]["totals"]["params"] == [456, 456]
