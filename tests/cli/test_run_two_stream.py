"""`cnnc run` on a net of two inputs: one video feeds frames and flow, as OpenCV and Pillow alone would have it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import cnnc
from cnnc_runtime import Failure, Item, Preprocessing, TensorSpec, read_items
from cnnc_runtime.flow import FlowInput, colors_of
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline.sampling import Sampling
from tests.compiler.two_stream_nets import Small, SmallClips
from tests.runtime.films import decoded
from tests.runtime.models import channel_means
from tests.runtime.moving import moving_film

MEAN, STD = np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.25, 0.3])
PREPARE = Preprocessing(
    resize=56, crop=(48, 48), mean=tuple(map(float, MEAN)), std=tuple(map(float, STD)), flow=FlowInput("flow")
)
SPECS = tuple(TensorSpec(name, np.dtype("float32"), ("n", c, 48, 48)) for name, c in (("frame", 3), ("flow", 6)))
CROP = (slice(4, 52), slice(13, 61))  # of 56x74: the longer side is int(56 * 96 / 72)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled net of two inputs, films long, short and of one frame, a picture."""
    folder = tmp_path_factory.mktemp("two_stream")
    example = {spec.name: torch.zeros(1, *map(int, spec.shape[1:])) for spec in SPECS}
    cnnc.compile(Small(), example, folder / "net.onnx", preprocessing=PREPARE, device="cpu")
    moving_film(folder / "film.mp4", 24)
    moving_film(folder / "short.mp4", 3)
    moving_film(folder / "one.avi", 1, codec="MJPG")
    Image.new("RGB", (96, 72), "red").save(folder / "still.png")
    return folder


def run(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cnnc", "run", "net.onnx", *arguments, "--device", "cpu"],
        cwd=work,
        env=os.environ,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done


def small(frame: np.ndarray) -> np.ndarray:
    """Shorter side 56, as Pillow does it."""
    return np.asarray(Image.fromarray(frame).resize((74, 56), Image.Resampling.BILINEAR))


def dis(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    cv2.setNumThreads(1)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*gray, None)


def reference(film: Path, start: int, fields: int = 3) -> tuple[np.ndarray, list[np.ndarray]]:
    """The frame at `start` as the net sees it, and the flow in pixels between it and those after it, cropped."""
    frames = [small(frame) for frame in decoded(film)[start : start + fields + 1]]
    seen = (frames[0][CROP].astype(np.float32) / np.float32(255) - MEAN) / STD
    moved = [dis(before, after)[CROP] for before, after in itertools.pairwise(frames)]
    return seen.transpose(2, 0, 1), moved


def stacked(fields: Sequence[np.ndarray]) -> np.ndarray:
    channels = []
    for field in fields:
        codes = np.rint(255 * (np.clip(field.astype(np.float64), -20, 20) + 20) / 40)
        channels += [20 * (2 * codes[..., 0] / 255 - 1), 20 * (2 * codes[..., 1] / 255 - 1)]
    return np.float32(channels)


def test_one_video_feeds_both_inputs_as_opencv_and_pytorch_have_it(work: Path) -> None:
    done = run(work, "film.mp4", "--clips", "3", "-o", "out.npz", "--flow-out", "pictures")
    assert done.returncode == 0, done.stderr
    net = Small().eval()
    with np.load(work / "out.npz") as arrays:
        found = dict(arrays)
    assert list(found) == ["film.mp4[0:4]", "film.mp4[10:14]", "film.mp4[20:24]"]
    for name, start in zip(found, (0, 10, 20), strict=True):
        seen, moved = reference(work / "film.mp4", start)
        with torch.inference_mode():
            expected = net(torch.from_numpy(seen)[None], torch.from_numpy(stacked(moved))[None])[0].numpy()
        np.testing.assert_allclose(found[name], expected, atol=1e-6)
        place = work / "pictures" / f"film.mp4-{start}-{start + 4}"
        assert len(list(place.iterdir())) == 9
        largest = max(float(np.hypot(*field.transpose(2, 0, 1)).max()) for field in moved)
        for number, field in enumerate(moved, 1):
            x, y, wheel = (np.asarray(Image.open(place / f"{number:02d}-{kind}.png")) for kind in ("x", "y", "wheel"))
            codes = np.rint(255 * (np.clip(field.astype(np.float64), -20, 20) + 20) / 40)
            np.testing.assert_array_equal(np.stack([x, y], axis=-1), codes)
            np.testing.assert_array_equal(wheel, colors_of(field, largest))
    centre = np.median(np.stack(reference(work / "film.mp4", 10)[1]), axis=(0, 1, 2))
    np.testing.assert_allclose(centre, (2 * 74 / 96, 1 * 56 / 72), atol=0.1)  # what moves 2 and 1 pixels, made smaller


def test_table_says_which_frames_a_sample_is_of(work: Path) -> None:
    done = run(work, "film.mp4", "--top", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("film.mp4[10:14]")
    done = run(work, "film.mp4", "--clips", "2", "--clip-stride", "2", "--top", "1")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["film.mp4[0:8:2]", "film.mp4[17:25:2]"]


def test_arrays_of_both_inputs_are_one_feed(work: Path) -> None:
    seen, moved = reference(work / "film.mp4", 10)
    np.savez(work / "feed.npz", frame=seen, flow=stacked(moved))
    done = run(work, "feed.npz", "film.mp4", "-o", "both.npz", "--force")
    assert done.returncode == 0, done.stderr
    with np.load(work / "both.npz") as arrays:
        given, computed = arrays["feed.npz"], arrays["film.mp4[10:14]"]
    np.testing.assert_allclose(given, computed, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["still.png"], 3, "still.png is one array, the net takes ['frame', 'flow']"),
        (["short.mp4"], 3, "short.mp4 has 3 frames, 3 fields of flow need 4: give a longer video"),
        (["one.avi"], 3, "one.avi has 1 frame, 3 fields of flow need 4"),
        (["film.mp4", "--clip-stride", "9"], 3, "has 24 frames, 3 fields of flow need 28"),
        (["film.mp4", "--every", "2"], 2, "--every"),
        (["film.mp4", "--clip-length", "8"], 2, "--clip-length"),
        (["film.mp4", "--flow-out", "net.onnx"], 9, "net.onnx cannot be made"),
    ],
)
def test_bad_calls(work: Path, arguments: list[str], code: int, message: str) -> None:
    done = run(work, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert message in line


def test_flow_pictures_of_a_net_without_flow_are_refused(work: Path) -> None:
    (work / "plain").mkdir()
    (work / "plain" / "net.onnx").write_bytes(channel_means())
    done = run(work / "plain", "../film.mp4", "--flow-out", "pictures")
    assert done.returncode == 2 and "--flow-input" in done.stderr.splitlines()[-1]
    assert not (work / "plain" / "pictures").exists()


def test_pictures_of_films_whose_names_differ_in_a_slash_only_are_all_kept(work: Path) -> None:
    (work / "a").mkdir()
    for name in ("a/b c.mp4", "a_b_c.mp4", "a/b_ü.mp4"):
        moving_film(work / name, 4)
    done = run(work, "a/b c.mp4", "a_b_c.mp4", "a/b_ü.mp4", "--flow-out", "apart")
    assert done.returncode == 0, done.stderr
    folders = {str(path.parent.relative_to(work / "apart")) for path in (work / "apart").rglob("*.png")}
    assert folders == {"a/b c.mp4-0-4", "a_b_c.mp4-0-4", "a/b_ü.mp4-0-4"}


def items(film: Path, specs: Sequence[TensorSpec], prepare: Preprocessing, reading: Reading) -> list[Item | Failure]:
    return list(read_items([film], specs, prepare, reading))


def test_clips_of_frames_and_of_flow(work: Path) -> None:
    """(2, T, H, W) beside (3, T, H, W): the flow from each of the T frames to the next, of T + 1."""
    specs = tuple(TensorSpec(name, np.dtype("float32"), ("n", c, 5, 48, 48)) for name, c in (("flow", 2), ("rgb", 3)))
    (item,) = items(work / "film.mp4", specs, PREPARE, Reading(sampling=Sampling(6)))
    assert isinstance(item, Item) and item.name.endswith("film.mp4[9:15]")
    assert list(item.feed) == ["flow", "rgb"]
    moved = stacked(reference(work / "film.mp4", 9, 5)[1]).reshape(5, 2, 48, 48).swapaxes(0, 1)
    np.testing.assert_allclose(item.feed["flow"], moved, atol=1e-6)
    for t in range(5):
        np.testing.assert_array_equal(item.feed["rgb"][:, t], reference(work / "film.mp4", 9 + t, 1)[0])
    with torch.inference_mode():
        assert SmallClips().eval()(*(torch.from_numpy(item.feed[name])[None] for name in item.feed)).shape == (1, 5)


def test_the_flow_between_two_frames_is_computed_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnc_runtime.pipeline import two_stream

    computed, compute = [], two_stream.optical_flow
    monkeypatch.setattr(two_stream, "optical_flow", lambda *arguments: computed.append(1) or compute(*arguments))
    found = items(work / "film.mp4", SPECS, PREPARE, Reading(sampling=Sampling(4, 1, 21)))
    assert len(found) == 21 and len(computed) == 23  # 24 frames; one sample after the other, it would be 63
    for start in (0, 7, 20):
        item = found[start]
        assert isinstance(item, Item)
        np.testing.assert_allclose(item.feed["flow"], stacked(reference(work / "film.mp4", start)[1]), atol=1e-6)


def test_a_crop_that_is_larger_pads_flow_with_rest(work: Path) -> None:
    prepare = Preprocessing(resize=(40, 40), crop=(48, 48), flow=FlowInput("flow", values="centered"))
    (item,) = items(work / "film.mp4", SPECS, prepare, Reading())
    assert isinstance(item, Item)
    border = np.ones((48, 48), bool)
    border[4:44, 4:44] = False
    assert (item.feed["flow"][:, border] == 0).all() and (item.feed["frame"][:, border] == 0).all()
    assert (item.feed["flow"][::2, 24, 24] > 0).all()


def test_gray_frames_and_other_methods(work: Path) -> None:
    specs = (TensorSpec("x", np.dtype("float16"), (1, 1, 48, 48)), TensorSpec("v", np.dtype("float32"), (1, 2, 48, 48)))
    prepare = Preprocessing(resize=56, crop=(48, 48), color="gray", flow=FlowInput("v", "farneback", 10, "unit"))
    (item,) = items(work / "film.mp4", specs, prepare, Reading())
    assert isinstance(item, Item) and item.feed["x"].dtype == np.float16 and item.feed["x"].shape == (1, 48, 48)
    np.testing.assert_allclose(10 * np.median(item.feed["v"], axis=(1, 2)), (1.56, 0.78), atol=0.2)


def test_mean_subtraction_takes_the_camera_s_motion_out(work: Path) -> None:
    prepare = Preprocessing(resize=56, crop=(48, 48), flow=FlowInput("flow", subtract_mean=True))
    (item,) = items(work / "film.mp4", SPECS, prepare, Reading())
    assert isinstance(item, Item)
    assert np.abs(np.median(item.feed["flow"], axis=(1, 2))).max() < 0.3  # of 1.6 and 0.8


@pytest.mark.parametrize("names", [("frame", "motion"), ("frame", "flow", "more")])
def test_inputs_that_are_not_those_of_the_description(work: Path, names: tuple[str, ...]) -> None:
    specs = [TensorSpec(name, np.dtype("float32"), ("n", 6, 48, 48)) for name in names]
    (failure,) = items(work / "film.mp4", specs, PREPARE, Reading())
    assert isinstance(failure, Failure) and "two inputs, one named 'flow'" in str(failure.error)
