"""An artifact with states on videos and arrays: each a clip of its own, frame by frame."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cnnc_runtime import Failure, load
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline.recurrent import frame_batch
from cnnc_runtime.pipeline.stream import stream
from tests.runtime.films import numbered
from tests.runtime.models import leaky_sum


@pytest.fixture
def work(tmp_path):
    """A net of 32x48 frames, two clips and a video."""
    (tmp_path / "step.onnx").write_bytes(leaky_sum(side="s", state=("n", 3, "s", "s")))
    for seed, name in enumerate(("a", "b")):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(seed).random((7, 3, 8, 8), np.float32))
    return tmp_path


def run(work, names, skip=0, reading=None, model="step.onnx"):
    """(name, y) of every frame."""
    with load(work / model, device="cpu") as engine:
        results = stream(engine, [str(name) for name in names], None, reading or Reading(), batch=1, skip=skip)
        try:
            found = [result for batch in results for result in batch]
        finally:
            results.close()
    return [(one.name, one.error if isinstance(one, Failure) else one.outputs["y"]) for one in found]


def expected(frames):
    state, results = np.zeros_like(frames[0]), []
    for frame in frames:
        state = np.float32(0.5) * state + frame
        results.append(state.mean(axis=(1, 2)))
    return np.stack(results)


def values(found):
    return np.stack([value for _, value in found])


def test_the_state_begins_anew_at_each_clip(work):
    files = [work / "a.npy", work / "b.npy", work / "a.npy"]
    found = run(work, files)
    assert [name for name, _ in found] == [f"{file}[{number}]" for file in files for number in range(7)]
    np.testing.assert_allclose(values(found), np.concatenate([expected(np.load(file)) for file in files]), atol=1e-6)


@pytest.mark.parametrize("skip", [0, 1, 6, 7, 8, 13, 14])
def test_a_run_that_goes_on_in_a_clip_has_its_state(work, skip):
    """Frames before are run again for the state, and left out of the results."""
    files = [work / "a.npy", work / "b.npy"]
    whole, rest = run(work, files), run(work, files, skip=skip)
    assert [name for name, _ in rest] == [name for name, _ in whole[skip:]]
    for (_, one), (_, other) in zip(rest, whole[skip:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_of_videos(work):
    (work / "film.onnx").write_bytes(leaky_sum(side=32))
    film = numbered(work / "film.mp4", 9, size=(32, 32))
    for every in (1, 3):
        found = run(work, [film, film], reading=Reading(every=every), model="film.onnx")
        names = [f"{film}[{number}]" for number in range(0, 9, every)]
        assert [name for name, _ in found] == 2 * names
        once, again = np.split(values(found), 2)
        np.testing.assert_array_equal(once, again)
        assert (np.diff(once[:, 0]) > 0).all()  # the film brightens, and the sum builds up
        rest = run(work, [film, film], skip=len(names) + 2, reading=Reading(every=every), model="film.onnx")
        np.testing.assert_array_equal(values(rest), again[2:])


def test_a_frame_that_fails_leaves_the_others_right(work):
    frames = np.load(work / "a.npy")
    frames[3, 0, 0, 0] = np.nan
    np.save(work / "bad.npy", frames)
    found = run(work, [work / "bad.npy"])
    assert isinstance(found[3][1], InvalidInputError) and "bad.npy[3]" in str(found[3][1])
    right = expected(np.delete(frames, 3, axis=0))
    np.testing.assert_allclose(values([one for number, one in enumerate(found) if number != 3]), right, atol=1e-6)


def test_what_is_no_clip_is_refused(work):
    with pytest.raises(UsageError, match=r"photo\.png is no clip.*\(T, C, H, W\)"):
        run(work, [work / "a.npy", work / "photo.png"])
    np.save(work / "frame.npy", np.zeros((3, 8, 8), np.float32))
    (work / "broken.npy").write_bytes(b"no array")
    found = run(work, [work / "frame.npy", work / "broken.npy", work / "missing.mp4", work / "a.npy"])
    assert "is one frame" in str(found[0][1])
    assert "not a .npy" in str(found[1][1])
    assert "no such file" in str(found[2][1])
    np.testing.assert_allclose(values(found[3:]), expected(np.load(work / "a.npy")), atol=1e-6)
    assert run(work, [work / "frame.npy", work / "a.npy"], skip=3)[0][0].endswith("a.npy[2]")


def test_frames_run_one_by_one(work):
    with load(work / "step.onnx", device="cpu") as engine:
        assert frame_batch(engine) == frame_batch(engine, 1) == 1
        with pytest.raises(UsageError, match="`batch` is 4"):
            frame_batch(engine, 4)
    with load(leaky_sum(batch=2), device="cpu") as engine, pytest.raises(UsageError, match="for 2 clips at once"):
        frame_batch(engine)


def cnnc(work, *arguments):
    command = [sys.executable, "-m", "cnnc", "run", "step.onnx", *arguments, "--device", "cpu"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done


def test_on_the_command_line_and_resumed_in_the_middle_of_a_clip(work):
    frames = np.load(work / "b.npy")
    frames[4] = np.inf
    np.save(work / "b.npy", frames)
    whole = cnnc(work, "a.npy", "b.npy", "-o", "whole.npz")
    assert whole.returncode == 10 and "b.npy[4]" in whole.stderr
    stopped = cnnc(work, "a.npy", "b.npy", "-o", "out.npz", "--fail-fast")
    assert stopped.returncode == 3 and not (work / "out.npz").exists()
    resumed = cnnc(work, "a.npy", "b.npy", "-o", "out.npz", "--resume")
    assert resumed.returncode == 10 and "going on after 11 finished items" in resumed.stderr
    with np.load(work / "whole.npz") as right, np.load(work / "out.npz") as got:
        assert set(got) == set(right) and "b.npy[6]" in got
        assert all(np.array_equal(got[name], right[name]) for name in right)


def test_a_batch_and_images_are_refused_on_the_command_line(work):
    done = cnnc(work, "a.npy", "--batch", "4")
    assert done.returncode == 2 and "one by one" in done.stderr
    done = cnnc(work, "a.jpg", "-o", "out.jsonl")
    assert done.returncode == 2 and "a.jpg is no clip" in done.stderr
    assert not list(work.glob("out*"))
    done = cnnc(work, "a.npy", "--json")
    assert done.returncode == 0 and len(json.loads(done.stdout)["results"]) == 7
