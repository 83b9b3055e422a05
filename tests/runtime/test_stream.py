"""The pipeline as a whole: order, overlap, reads that hang, and memory that does not grow."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from cnnc_runtime import Failure, Item, Preprocessing, Result, TensorSpec, load, read_items, run_items
from cnnc_runtime.errors import DeviceError, InvalidInputError, ResourceLimitError, UnsupportedModelError, UsageError
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline import pictures, tasks
from cnnc_runtime.pipeline.stream import stream
from tests.runtime.models import channel_means, relu, serialized

INPUT = (TensorSpec("x", np.dtype("float32"), ("n", 3, 8, 8)),)


def folder_of(path, count: int, size=(8, 8)) -> list[str]:
    """`count` names of one picture."""
    path.mkdir()
    Image.new("RGB", size, "red").save(path / "0.png")
    for number in range(1, count):
        os.link(path / "0.png", path / f"{number}.png")
    return [str(path / f"{number}.png") for number in range(count)]


@pytest.fixture
def engine():
    with load(channel_means(), device="cpu") as engine:
        yield engine


def collected(engine, names, *, batch=4, skip=0, reading=None):
    results = stream(engine, names, None, reading or Reading(), batch=batch, skip=skip)
    flat = [result for some in results for result in some]
    assert results.close()
    return flat


def mixed(tmp_path) -> list[str]:
    """Good, bad and missing files, and a .npy of 70 samples, one of them with a NaN."""
    names = folder_of(tmp_path / "pics", 10)
    (tmp_path / "bad.png").write_text("text")
    array = np.random.default_rng(0).random((70, 3, 8, 8), np.float32)
    array[66] = np.nan
    np.save(tmp_path / "x.npy", array)
    bad, missing, samples = (str(tmp_path / name) for name in ("bad.png", "missing.png", "x.npy"))
    return [*names[:3], bad, *names[3:], missing, samples, names[0]]


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_order_is_kept_failures_included(tmp_path, engine, batch):
    names = mixed(tmp_path)
    flat = collected(engine, names, batch=batch)
    expected = [name for name in names if not name.endswith(".npy")]
    expected[-1:-1] = [f"{tmp_path}/x.npy[{row}]" for row in range(70)]
    assert [result.name for result in flat] == expected
    assert [result.name for result in flat if isinstance(result, Failure)] == [
        f"{tmp_path}/bad.png",
        f"{tmp_path}/missing.png",
        f"{tmp_path}/x.npy[66]",
    ]


@pytest.mark.parametrize("skip", [1, 3, 4, 12, 13, 40, 78, 82, 83])
def test_what_is_skipped_is_what_was_finished(tmp_path, engine, skip):
    names = mixed(tmp_path)
    whole, rest = collected(engine, names), collected(engine, names, skip=skip)
    assert [result.name for result in rest] == [result.name for result in whole[skip:]]
    for one, other in zip(rest, whole[skip:], strict=True):
        if isinstance(one, Result):
            np.testing.assert_allclose(one.outputs["y"], other.outputs["y"], atol=1e-6)


def test_nothing_that_is_skipped_is_decoded(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(pictures, "open_image", lambda *a: opened.append(a) or Image.new("RGB", (8, 8)))
    names = folder_of(tmp_path / "pics", 9)
    assert len(list(read_items(map(Path, names), INPUT, skip=7))) == 2 == len(opened)


def test_decoding_goes_on_while_the_engine_runs(tmp_path, engine, monkeypatch):
    decoded = threading.Semaphore(0)
    original = pictures.open_image

    def counted(*arguments):
        image = original(*arguments)
        decoded.release()
        return image

    class Slow:
        inputs, metadata = engine.inputs, None

        def run(self, feed):
            for _ in range(4):  # of the next batch
                assert decoded.acquire(timeout=10)
            return engine.run(feed)

    monkeypatch.setattr(pictures, "open_image", counted)
    names = folder_of(tmp_path / "pics", 12)
    results = stream(Slow(), names, None, Reading(), batch=4)
    for _ in range(4):
        assert decoded.acquire(timeout=10)
    assert len(next(results)) == 4
    decoded.release(100)  # let go of the run that waits for more than there are
    assert results.close()


def test_the_reader_of_the_results_is_waited_for(tmp_path, engine):
    names = folder_of(tmp_path / "pics", 200)
    drawn = []

    class Names(list):
        def __iter__(self):
            for name in names:
                drawn.append(name)
                yield name

    results = stream(engine, Names(), None, Reading(), batch=2)
    next(results)
    time.sleep(0.3)
    assert len(drawn) < 60
    assert results.close()


def test_an_image_that_cannot_be_read_in_time_is_one_failure(tmp_path, engine, monkeypatch):
    free = threading.Event()
    original = pictures.open_image

    def hanging(source, *name):
        if str(source).endswith("2.png"):
            free.wait(30)
        return original(source, *name)

    monkeypatch.setattr(pictures, "open_image", hanging)
    names = folder_of(tmp_path / "pics", 5)
    flat = collected_while_hanging(engine, names, Reading(timeout=0.8))
    assert [type(result) for result in flat] == [Result, Result, Failure, Result, Result]
    assert isinstance(flat[2].error, ResourceLimitError)
    assert "2.png: not decoded in 0.8 s" in str(flat[2].error)
    free.set()


def collected_while_hanging(engine, names, reading):
    return [result for some in stream(engine, names, None, reading, batch=2) for result in some]


def test_a_container_that_hangs_is_one_failure_and_the_next_file_is_read(tmp_path, engine, monkeypatch):
    free = threading.Event()
    original = tasks.sample_tasks

    def hanging(name, *arguments):
        for number, task in enumerate(original(name, *arguments)):
            if name.endswith("a.npy") and number == 1:
                free.wait(30)
            yield task

    monkeypatch.setattr(tasks, "sample_tasks", hanging)
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.zeros((70, 3, 8, 8), np.float32))
    names = [f"{tmp_path}/a.npy", f"{tmp_path}/b.npy"]
    flat = collected_while_hanging(engine, names, Reading(timeout=0.8))
    assert [isinstance(result, Failure) for result in flat] == [False] * 64 + [True] + [False] * 70
    assert "a.npy: its next item could not be read in 0.8 s" in str(flat[64].error)
    free.set()
    with pytest.raises(UsageError, match="timeout"):
        Reading(timeout=0)


def test_one_bad_item_does_not_take_its_batch_along(engine):
    class Picky:
        inputs, metadata = engine.inputs, None

        def run(self, feed):
            if (feed["x"] > 8).any():
                raise engine_error
            return engine.run(feed)

    engine_error = InvalidInputError("over 8")
    items = [Item(str(n), {"x": np.full((3, 8, 8), n, np.float32)}) for n in (1, 9, 2)]
    kinds = [type(result) for result in run_items(Picky(), items, 3)]
    assert kinds == [Result, Failure, Result]


def test_a_failed_gpu_ends_the_run(tmp_path, engine):
    class Dead:
        inputs, metadata = engine.inputs, None

        def run(self, feed):
            raise DeviceError("the GPU failed")

    results = stream(Dead(), folder_of(tmp_path / "pics", 3), None, Reading(), batch=2)
    with pytest.raises(DeviceError):
        list(results)
    assert results.close()


def test_a_net_without_a_batch_axis_ends_the_run(tmp_path):
    with load(serialized([helper.make_node("Relu", ["x"], ["y"])], {"x": ()}, ["y"]), device="cpu") as engine:
        results = stream(engine, ["a.npy"], None, Reading(), batch=2)
        with pytest.raises(UnsupportedModelError, match="batch axis"):
            list(results)


def test_sizes_that_vary_come_out_in_order(tmp_path):
    names = []
    for number, size in enumerate([(8, 8), (8, 8), (9, 4), (8, 8), (5, 5)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
        names.append(str(tmp_path / f"{number}.png"))
    with load(relu(("n", 3, "h", "w")), device="cpu") as engine:
        results = stream(engine, names, Preprocessing(), Reading(), batch=4)
        shapes = [result.outputs["y"].shape for some in results for result in some]
    assert shapes == [(3, 8, 8), (3, 8, 8), (3, 4, 9), (3, 8, 8), (3, 5, 5)]


MEASURE = """
import resource, sys
from cnnc.cli import main
sys.argv[0] = "cnnc"
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_items(tmp_path):
    """3,000 items more would take 37 MB if the input of each were kept, and as much for its output."""
    (tmp_path / "net.onnx").write_bytes(relu(("n", 3, 32, 32)))
    peaks = []
    for count in (300, 3300):
        folder_of(tmp_path / f"{count}", count, (32, 32))
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, "run", "net.onnx", f"{count}", "-o", f"{count}.csv", "--device", "cpu"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 10, f"{peaks} MB"
