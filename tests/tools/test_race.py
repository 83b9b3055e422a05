"""Contenders in turn, each in a process of its own: started once, stopped between turns, failures kept as reasons."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cnnc_runtime.errors import ResourceLimitError
from tools.contenders.known import Contender, contenders, input_shapes
from tools.contenders.race import count, time_in_turn
from tools.contenders.runner import Runner, available_memory


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes what lenet5 takes."""
    shape = [1, *input_shapes("lenet5", 1)[""][1:]]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    path = tmp_path_factory.mktemp("race") / "relu.onnx"
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def state_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def question(file: Path, **more: Any) -> dict[str, Any]:
    shapes = input_shapes("lenet5", 1)
    return {"net": "lenet5", "shapes": shapes, "runs_on": "onnxruntime", "settings": {}, "path": str(file), **more}


def test_a_runner_is_stopped_between_turns_and_goes_with_its_owner(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "y.npy"
    with Runner(question(file, output=str(output)), "relu", 60) as runner:
        process = runner._process.pid
        _, status = os.waitpid(process, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert state_of(process) == "T"
        assert 0 < runner.turn(0.01)["seconds"] < 10
        os.waitpid(process, os.WUNTRACED)
        assert state_of(process) == "T"
    assert not Path(f"/proc/{process}").exists()
    assert np.load(output).min() == 0


def test_a_runner_that_fails_says_why(file: Path) -> None:
    with pytest.raises(RuntimeError, match=r"elsewhere\.onnx"):
        Runner(question(file.with_name("elsewhere.onnx")), "relu", 60)
    with Runner(question(file), "relu", 60) as runner:
        os.kill(runner._process.pid, signal.SIGSEGV)
        with pytest.raises(RuntimeError, match=r"relu: crashes its process \(signal 11\)"):
            runner.turn(0.01)
    with pytest.raises(ResourceLimitError, match=r"more than 0\.01 s: stopped"):
        Runner(question(file), "relu", 0.01)


def test_contenders_run_in_turn_and_one_that_fails_leaves_the_others(file: Path, tmp_path: Path) -> None:
    (raw,) = contenders(("raw",))
    said: list[str] = []
    runners: list[tuple[str, Contender, Path | None]] = [
        ("one", raw, file),
        ("other", raw, file),
        ("none", raw, tmp_path / "none.onnx"),
    ]
    found = time_in_turn("lenet5", runners, 2, 0.0, tmp_path, said.append)
    assert [len(found[name]["rounds"]) for name in ("one", "other")] == [2, 2]
    assert found["one"]["running_bytes"] > 10_000_000
    assert "none.onnx" in found["none"]["failed"]
    assert said[-1] == "lenet5: round 2 of 2"


def test_files_are_counted_together_and_one_that_fails_leaves_the_others(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    found = count([file, broken], "onnxruntime")
    assert found[file]["operators"] == {"Relu": 1}
    assert found[file]["nodes"] == found[file]["file_nodes"] == 1
    assert set(found[broken]) == {"failed"}


def test_memory_that_is_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:     50 kB\n", encoding="ascii")
    assert available_memory(meminfo) == 51_200
    assert available_memory(tmp_path / "none") is None
