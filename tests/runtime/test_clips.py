"""Which frames become a clip, that their pixels are the reference's, and what is no clip."""

from __future__ import annotations

import dataclasses
import sys
import weakref

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import PRESETS, Failure, Item, Metadata, Preprocessing, TensorSpec, read_items
from cnnc_runtime.errors import InvalidInputError, UnsafeInputError, UsageError
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline import clips as module
from cnnc_runtime.pipeline import video
from cnnc_runtime.pipeline.clips import read_clips, sample_clips, sampling_for, takes_clips
from cnnc_runtime.pipeline.sampling import Sampling
from cnnc_runtime.pipeline.tasks import count_items
from tests.runtime.films import decoded, numbered, numbers

SPEC = TensorSpec("x", np.dtype("float32"), ("n", 3, 8, 24, 32))
PLAIN = Preprocessing(resize=(24, 32))


def told(file, *arguments):
    """Name in brackets -> the frame numbers that the pictures tell."""
    return {name.removeprefix(str(file)): numbers(pictures) for name, pictures in read_clips(file, *arguments)}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("films") / "film.mp4", 50)


def test_one_clip_lies_in_the_middle(film):
    assert told(film, 16) == {"[17:33]": list(range(17, 33))}
    assert told(film, 8, 3) == {"[14:38:3]": list(range(14, 38, 3))}


def test_clips_lie_evenly_from_the_first_to_the_last_place(film):
    assert list(told(film, 16, 1, 2)) == ["[0:16]", "[34:50]"]
    found = told(film, 8, 2, 4)
    assert found == {f"[{start}:{start + 16}:2]": list(range(start, start + 15, 2)) for start in (0, 12, 23, 35)}


def test_all_clips_follow_each_other_and_a_rest_is_left_out(film):
    assert told(film, 8, 2, None) == {f"[{n}:{n + 16}:2]": list(range(n, n + 15, 2)) for n in (0, 16, 32)}
    assert list(told(film, 25, 1, None)) == ["[0:25]", "[25:50]"]
    assert list(told(film, 26, 1, None)) == ["[0:26]"]


def test_a_place_that_is_named_twice_counts_once(film):
    assert list(told(film, 48, 1, 10)) == ["[0:48]", "[1:49]", "[2:50]"]
    assert count_items([str(film)], Reading(sampling=Sampling(48, 1, 10))) == 3
    assert list(told(film, 50, 1, 10)) == ["[0:50]"]


@pytest.mark.parametrize("clips", [1, 5, None])
def test_a_short_film_is_looped(tmp_path, clips):
    file = numbered(tmp_path / "short.mp4", 5)
    assert told(file, 8, 1, clips) == {"[0:8]": [0, 1, 2, 3, 4, 0, 1, 2]}
    assert told(file, 4, 2, clips) == {"[0:8:2]": [0, 2, 4, 1]}
    one = numbered(tmp_path / "one.mp4", 1)
    assert told(one, 3, 7, clips) == {"[0:21:7]": [0, 0, 0]}


def test_starts_are_even_inside_and_ascending_for_every_size():
    for frames in range(1, 40):
        for length, stride, clips in ((1, 1, 3), (4, 1, 1), (4, 3, 5), (7, 2, None), (5, 4, 40)):
            sampling = Sampling(length, stride, clips)
            starts = list(sampling.starts(frames))
            assert starts == sorted(set(starts)) and starts[0] >= 0
            assert starts[-1] + sampling.span <= max(frames, sampling.span)
            if clips is None:
                assert frames - (starts[-1] + length * stride) < sampling.span
            elif clips > 1:
                last = max(frames - sampling.span, 0)
                assert (starts[0], starts[-1]) == (0, last) and len(starts) <= clips
                assert len(starts) == min(clips, last + 1) or clips > last


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov", "mpg", "ts"])
def test_other_containers(tmp_path, suffix):
    """Of some, the claimed number of frames is an estimate: spread over it, clips would miss the film's end."""
    codec = {"avi": "MJPG", "mpg": "PIM1", "ts": "mpg2"}.get(suffix, "mp4v")
    file = numbered(tmp_path / f"film.{suffix}", 50, codec=codec)
    assert told(file, 16, 1, 3) == {f"[{n}:{n + 16}]": list(range(n, n + 16)) for n in (0, 17, 34)}
    assert list(told(file, 16, 1, None)) == ["[0:16]", "[16:32]", "[32:48]"]


@pytest.mark.parametrize("claimed", [0, 10, 52])
@pytest.mark.parametrize("clips", [3, None])
def test_a_wrong_claim_changes_nothing_that_was_not_out_yet(film, monkeypatch, claimed, clips):
    """What the file says it has is too little, or a little too much."""
    monkeypatch.setattr(module, "count_frames", lambda file: claimed)
    found = told(film, 16, 1, clips)
    if clips is None:
        assert list(found) == ["[0:16]", "[16:32]", "[32:48]"]
    elif claimed == 52:  # two clips were placed by the claim; the third is by what was found
        assert list(found) == ["[0:16]", "[18:34]", "[34:50]"]
    else:
        assert list(found) == ["[0:16]", "[17:33]", "[34:50]"]
    assert all(numbers == list(range(numbers[0], numbers[0] + 16)) for numbers in found.values())


@pytest.mark.parametrize("size", [(48, 32), (37, 61), (200, 31)])
def test_pixels_of_every_frame_are_the_references(tmp_path, size):
    """As Pillow alone makes them, bit for bit; (200, 31) is cropped beyond its height, where nothing is but `fill`."""
    file = numbered(tmp_path / "film.avi", 20, size, codec="MJPG")
    prepare = dataclasses.replace(PRESETS["kinetics"], resize=None if size[0] == 200 else (43, 57), crop=(40, 44))
    spec = dataclasses.replace(SPEC, shape=("n", 3, 6, 40, 44))
    (item,) = read_items([file], [spec], prepare, Reading(sampling=Sampling(6, 2)))
    assert item.name == f"{file}[4:16:2]"
    expected = []
    for frame in decoded(file)[4:16:2]:
        image = Image.fromarray(frame)
        if prepare.resize:
            image = image.resize((57, 43), Image.Resampling.BILINEAR)
        left, top = round((image.width - 44) / 2), round((max(image.height, 40) - 40) / 2)
        pad = max(40 - image.height, 0) // 2
        image = image.crop((left, top - pad, left + 44, top - pad + 40))
        values = np.asarray(image).astype(np.float32).transpose(2, 0, 1) / np.float32(255)
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (prepare.mean, prepare.std))
        expected.append((values - mean) / std)
    np.testing.assert_array_equal(item.feed["x"], np.stack(expected, 1))
    assert item.feed["x"].dtype == np.float32 and item.feed["x"].flags.c_contiguous


def test_gray_bgr_and_half_precision(film):
    gray = TensorSpec("x", np.dtype("float32"), ("n", 1, 4, 24, 32))
    (item,) = read_items([film], [gray])
    assert item.feed["x"].shape == (1, 4, 24, 32)
    bgr, rgb = (
        next(read_items([film], [SPEC], dataclasses.replace(PLAIN, color=color))).feed["x"] for color in ("bgr", "rgb")
    )
    np.testing.assert_array_equal(bgr, rgb[::-1])
    half = dataclasses.replace(SPEC, dtype=np.dtype("float16"))
    np.testing.assert_array_equal(next(read_items([film], [half], PLAIN)).feed["x"], rgb.astype(np.float16))


def test_the_artifact_says_the_stride_and_the_caller_overrides_it(film):
    stored = dataclasses.replace(PLAIN, clip_stride=3)
    (item,) = read_items([film], [SPEC], stored)
    assert item.name.endswith("[14:38:3]")
    (item,) = read_items([film], [SPEC], stored, Reading(sampling=sampling_for(SPEC, stored, stride=1)))
    assert item.name.endswith("[21:29]")
    props = Metadata("1", "net.py:Net", "portable", stored).to_props()
    assert Metadata.from_props(props).preprocessing == stored
    assert "clip_stride" not in PLAIN.to_json()
    with pytest.raises(InvalidInputError, match="clip_stride"):
        Preprocessing.from_json({**PLAIN.to_json(), "clip_stride": 0})


def test_items_can_be_skipped_and_come_in_order(film):
    reading = Reading(sampling=Sampling(8, 1, None))
    names = [item.name for item in read_items([film, film], [SPEC], PLAIN, reading)]
    assert len(names) == 12
    assert [item.name for item in read_items([film, film], [SPEC], PLAIN, reading, skip=7)] == names[7:]


def test_frames_of_clips_that_are_out_are_not_kept(film):
    """However many clips a film has: at most those of the clip in hand are alive, and of the next one."""

    class Frame:
        pass

    alive: list[weakref.ref[Frame]] = []

    def prepare(image):
        frame = Frame()
        alive.append(weakref.ref(frame))
        return frame

    for clips, most in ((None, 8), (3, 8), (20, 16)):
        alive.clear()
        for _, frames in sample_clips(film, Sampling(8, 1, clips), prepare):
            assert len(frames) == 8
            del frames
            assert sum(one() is not None for one in alive) <= most


def test_shared_frames_are_prepared_once(film):
    seen = []
    found = list(sample_clips(film, Sampling(16, 1, 35), lambda image: seen.append(image) or len(seen)))
    assert len(found) == 35 and len(seen) == 50
    assert found[34][1] == list(range(35, 51))


def test_a_film_that_is_cut_off_gives_the_clips_it_has(tmp_path):
    file = numbered(tmp_path / "a.avi", 50, codec="MJPG")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    first, *_, last = read_items([file], [SPEC], PLAIN, Reading(sampling=Sampling(8, 1, None)))
    assert isinstance(first, Item) and isinstance(last, Failure)
    assert "of its 50 frames" in str(last.error)
    (failure,) = read_items([file], [SPEC], PLAIN, Reading(sampling=Sampling(45, 1)))
    assert "of its 50 frames" in str(failure.error)


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.mp4", b"this is text", InvalidInputError, "not a video"),
        ("a.mp4", b"", InvalidInputError, "is empty"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(99), InvalidInputError, "no video that can be read"),
        ("a.m3u8", b"#EXTM3U\nhttp://localhost/a.ts\n", UnsafeInputError, "playlist"),
    ],
)
def test_what_is_no_video(tmp_path, capfd, name, content, kind, message):
    (tmp_path / name).write_bytes(content)
    (failure,) = read_items([tmp_path / name], [SPEC])
    assert type(failure.error) is kind
    assert message in str(failure.error) and str(tmp_path / name) in str(failure.error)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_film_without_its_index(tmp_path):
    file = numbered(tmp_path / "a.mp4", 50)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    (failure,) = read_items([file], [SPEC])
    assert isinstance(failure.error, InvalidInputError) and "whole" in str(failure.error)


def test_frames_that_cannot_be_decoded_to_the_end_end_the_reading(film, monkeypatch):
    """`grab` went further than pictures could be had: not read again and again."""
    whole = video.read_chosen
    monkeypatch.setattr(module, "read_chosen", lambda file, is_wanted: list(whole(file, is_wanted))[:10])
    for sampling in (Sampling(16, 1, 2), Sampling(60)):
        with pytest.raises(InvalidInputError, match="to its end"):
            list(sample_clips(film, sampling, lambda image: image))


def test_what_does_not_fit_the_net(film, tmp_path):
    Image.new("RGB", (32, 24)).save(tmp_path / "a.png")
    (failure,) = read_items([tmp_path / "a.png"], [SPEC], PLAIN)
    assert "is one picture, the net takes clips (n, 3, 8, 24, 32): give a video" in str(failure.error)
    (failure,) = read_items([film], [SPEC], Preprocessing())
    assert "expects shape (3, 8, 24, 32), got (3, 8, 32, 48)" in str(failure.error) and "--size" in str(failure.error)
    (failure,) = read_items([film], [dataclasses.replace(SPEC, shape=("n", 2, 8, 24, 32))])
    assert "1 or 3 channels" in str(failure.error)
    (failure,) = read_items([film], [SPEC, dataclasses.replace(SPEC, name="y")])
    assert "the net takes ['x', 'y']" in str(failure.error)
    (failure,) = read_items([film], [dataclasses.replace(SPEC, dtype=np.dtype("uint8"))])
    assert "expects uint8" in str(failure.error)
    assert not takes_clips([SPEC, SPEC]) and not takes_clips([dataclasses.replace(SPEC, shape=("n", 3, 8, 8))])
    open_length = dataclasses.replace(SPEC, shape=("n", 3, "t", 24, 32))
    (failure,) = read_items([film], [open_length], PLAIN)
    assert isinstance(failure.error, UsageError) and "--clip-length" in str(failure.error)
    (item,) = read_items([film], [open_length], PLAIN, Reading(sampling=sampling_for(open_length, PLAIN, length=5)))
    assert item.feed["x"].shape == (3, 5, 24, 32)


def test_numbers_that_are_no_sampling():
    for wrong in ({"length": 0}, {"length": 8, "stride": 0}, {"length": 8, "clips": 0}):
        with pytest.raises(UsageError, match=f"`{list(wrong)[-1]}` is 0"):
            Sampling(**wrong)
    with pytest.raises(UsageError, match="clips of 8 frames, not 9"):
        sampling_for(SPEC, None, length=9)
    with pytest.raises(UsageError, match="`clip_stride` is 0"):
        Preprocessing(clip_stride=0)


def test_a_preprocessing_fits_clips():
    clips = (1, 3, 16, 112, 112)
    assert PRESETS["kinetics"].fitted(clips) == PRESETS["kinetics"]
    assert Preprocessing().fitted(clips).resize == (112, 112)
    assert Preprocessing().fitted(("n", 3, "t", "h", "w")) == Preprocessing()
    assert str(Preprocessing(clip_stride=2)).endswith("every 2 frames")
    with pytest.raises(UsageError, match="images become 224x224, the input is 112x112"):
        PRESETS["imagenet"].fitted(clips)
    with pytest.raises(UsageError, match="`clip_stride` is for an input"):
        Preprocessing(clip_stride=2).fitted((1, 3, 112, 112))
    with pytest.raises(UsageError, match="embedded, the input is clips"):
        Preprocessing(embedded=True).fitted(clips)


def test_without_opencv_one_line_says_what_to_install(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    (failure,) = read_items([film], [SPEC], PLAIN)
    assert "pip install 'cnnc[video]'" in str(failure.error)
