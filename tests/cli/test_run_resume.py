"""`cnnc run` ended in the middle: by a kill, by Control-C, by an error; and continued."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from cnnc_runtime import Metadata
from tests.runtime.models import channel_means, serialized

CERTIFIED = Metadata("1", "net.py:Net", "portable", certificate={})
ITEMS = 2000


def stalling() -> bytes:
    """Channel means; a value over 1,000 in the batch makes it an endless loop, which onnxruntime does not leave."""
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "v": TensorProto.FLOAT}
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [helper.make_tensor_value_info(name, kind, [] if name != "v" else None) for name, kind in kinds.items()],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["max"], keepdims=0),
        helper.make_node("Sub", ["max", "limit"], ["over"]),
        helper.make_node("Relu", ["over"], ["excess"]),
        helper.make_node("Mul", ["excess", "often"], ["times"]),
        helper.make_node("Cast", ["times"], ["trips"], to=TensorProto.INT64),
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Loop", ["trips", "", "means"], ["same"], body=body),
        helper.make_node("Flatten", ["same"], ["y"]),
    ]
    constants = {"limit": np.float32(1000), "often": np.float32(1e12)}
    return serialized(nodes, {"x": ("n", 3, 8, 8)}, ["y"], constants=constants, metadata=CERTIFIED)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Nets, and 2,000 samples, every 500th of them bad."""
    work = tmp_path_factory.mktemp("resume")
    (work / "net.onnx").write_bytes(channel_means(metadata=CERTIFIED))
    (work / "stalling.onnx").write_bytes(stalling())
    samples = np.random.default_rng(0).random((ITEMS, 3, 8, 8), np.float32)
    samples[::500] = np.nan
    np.save(work / "x.npy", samples)
    return work


def start(work: Path, *arguments: str, model: str = "net.onnx") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cnnc", "run", model, "x.npy", "--device", "cpu", *arguments]
    return subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(work: Path, *arguments: str, model: str = "net.onnx") -> tuple[int, str]:
    with start(work, *arguments, model=model) as process:
        error = process.communicate(timeout=60)[1]
    assert "Traceback" not in error
    return process.returncode, error


def wait_for_lines(journal: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_killed_at_random_points_every_item_is_in_the_output_once(work, suffix):
    assert run(work, "-o", f"whole.{suffix}")[0] == 10
    random.seed(suffix)
    journal = work / f"killed.{suffix}.journal"
    kills = 0
    while kills < 2:  # on a busy machine a run may end before it is killed
        with start(work, "-o", f"killed.{suffix}", "--resume") as process:
            wait_for_lines(journal, random.randrange(kills * 700, (kills + 1) * 700), process)
            process.kill()
            process.communicate()
        kills += journal.exists()
        if not journal.exists():
            (work / f"killed.{suffix}").unlink(missing_ok=True)
            kills = 0
    code, error = run(work, "-o", f"killed.{suffix}", "--resume")
    assert code == 10 and "going on after" in error and "4 of 2000 items failed" in error
    assert (work / f"killed.{suffix}").read_bytes() == (work / f"whole.{suffix}").read_bytes()
    assert not list(work.glob("killed.*.journal*"))


@pytest.mark.parametrize("signals", [1, 2])
def test_control_c_keeps_what_is_finished_and_does_not_wait_for_the_engine(work, signals):
    """Sample 100 keeps the engine busy for ever: 97 are finished by then, the first a failure, then batches of 8."""
    data = work / "x.npy"
    samples, time_of_change = np.load(data), data.stat().st_mtime_ns
    stuck = samples.copy()
    stuck[100] = 1e6
    np.save(data, stuck)
    output = work / f"stopped{signals}.npz"
    with start(work, "-o", output.name, model="stalling.onnx") as process:
        wait_for_lines(work / f"{output.name}.journal", 97, process)
        since = time.monotonic()
        process.send_signal(signal.SIGINT)
        if signals == 2:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and time.monotonic() - since < 2
    assert signals == 2 or f"97 finished items are kept in {output.name}.journal" in error
    assert not output.exists()
    code, error = run(work, "-o", output.name, model="stalling.onnx")
    assert code == 9 and "--resume goes on" in error and "--force starts again" in error
    for arguments, model, message in (
        (["--top", "2"], "stalling.onnx", "--top differs: 5 then, 2 now"),
        ([], "net.onnx", "the model differs"),
        (["x.npy"], "stalling.onnx", "the inputs differ"),
    )[: 3 * (signals == 1)]:
        code, error = run(work, "-o", output.name, "--resume", *arguments, model=model)
        assert code == 2 and message in error
    state = data.stat()
    np.save(data, samples)  # cured, and made to look as if nothing had changed
    os.utime(data, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run(work, "-o", output.name, "--resume", model="stalling.onnx")[0] == 10
    os.utime(data, ns=(time_of_change, time_of_change))
    with np.load(output) as arrays:
        assert len(arrays) == ITEMS - 4 + 1  # and the errors
        for row in (96, 97, 100, 1999):
            np.testing.assert_allclose(arrays[f"x.npy[{row}]"], samples[row].mean(axis=(1, 2)), rtol=1e-5)


def test_fail_fast_stops_with_the_items_own_error_and_keeps_the_rest(work):
    samples = np.zeros((100, 3, 8, 8), np.float32)
    samples[70] = np.nan
    np.save(work / "few.npy", samples)
    code, error = run(work, "few.npy", "-o", "fast.csv", "--fail-fast")
    assert code == 3 and "x.npy[0]: input 'x' holds NaN" in error and not list(work.glob("fast*"))
    command = [sys.executable, "-m", "cnnc", "run", "net.onnx", "few.npy", "--device", "cpu", "-o", "fast.csv"]
    done = subprocess.run([*command, "--fail-fast"], cwd=work, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "few.npy[70]" in done.stderr and "70 finished items are kept" in done.stderr
    done = subprocess.run([*command, "--resume"], cwd=work, capture_output=True, text=True, timeout=60)
    assert done.returncode == 10 and "1 of 100 items failed" in done.stderr
    names = [line.partition(",")[0] for line in (work / "fast.csv").read_text().splitlines()[1:]]
    assert list(dict.fromkeys(names)) == [f"few.npy[{row}]" for row in range(100)]


def run_out_of_room(work: Path, *arguments: str) -> tuple[int, str]:
    """A limit on the size of files stands for the full disk: both end a write in its middle."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); "
    command = [sys.executable, "-c", f"{limit} from cnnc.cli import main; main()", "run", "net.onnx", "x.npy"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command += ["--device", "cpu", *arguments]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60, env=environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_full_disk_keeps_what_is_finished(work):
    code, error = run_out_of_room(work, "-o", "full.jsonl")
    assert code == 9 and "make room, then --resume" in error and "finished items are kept" in error
    assert run(work, "-o", "full.jsonl", "--resume")[0] == 10
    names = [json.loads(line)["name"] for line in (work / "full.jsonl").read_text().splitlines()]
    assert names == [f"x.npy[{row}]" for row in range(ITEMS)]


def test_an_output_that_was_to_be_overwritten_is_intact_until_the_end(work):
    (work / "old.csv").write_text("precious")
    assert run_out_of_room(work, "-o", "old.csv", "--force")[0] == 9
    assert (work / "old.csv").read_text() == "precious"
    assert run(work, "-o", "old.csv", "--resume")[0] == 10  # the run that is continued had --force
    assert (work / "old.csv").read_text().startswith("name,")
    code, error = run(work, "-o", "old.csv", "--resume")
    assert code == 9 and "exists" in error


def test_resume_needs_an_output(work):
    code, error = run(work, "--resume")
    assert code == 2 and "-o" in error
