"""The frames of videos, and what is no video."""

import sys

import numpy as np
import pytest

from cnnc_runtime import Failure, Item, TensorSpec, read_items
from cnnc_runtime.errors import InvalidInputError, UnsafeInputError, UsageError
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline.tasks import count_items
from cnnc_runtime.pipeline.video import load_opencv, read_frames

INPUT = (TensorSpec("x", np.dtype("float32"), ("n", 3, 24, 32)),)


def film(path, frames=20):
    """Red grows from 0, green falls from 190, by 10 a frame; blue is 0."""
    cv2 = load_opencv()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for number in range(frames):
        writer.write(np.full((24, 32, 3), (0, 190 - 10 * number, 10 * number), np.uint8))
    writer.release()
    return path


def test_every_frame_is_an_item_in_rgb(tmp_path):
    file = film(tmp_path / "a.avi")
    items = list(read_items([file], INPUT))
    assert [item.name for item in items] == [f"{file}[{number}]" for number in range(20)]
    for number, item in enumerate(items):
        red, green, blue = 255 * item.feed["x"].mean(axis=(1, 2))
        assert abs(red - 10 * number) < 8 and abs(green - (190 - 10 * number)) < 8 and blue < 8


def test_every_nth_frame(tmp_path):
    file = film(tmp_path / "a.avi")
    items = list(read_items([file], INPUT, None, Reading(every=7)))
    assert [item.name for item in items] == [f"{file}[{number}]" for number in (0, 7, 14)]
    assert count_items([str(file)], Reading(every=7)) == 3
    rest = list(read_items([file], INPUT, None, Reading(every=7), skip=2))
    assert [item.name for item in rest] == [f"{file}[14]"]
    with pytest.raises(UsageError, match="every"):
        Reading(every=0)


def test_a_film_that_is_cut_off_gives_what_it_has(tmp_path):
    file = film(tmp_path / "a.avi", 60)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    *items, last = read_items([file], INPUT)
    assert len(items) > 10 and all(isinstance(item, Item) for item in items)
    assert isinstance(last, Failure) and "of its 60 frames" in str(last.error)


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.mp4", b"this is text", InvalidInputError, "not a video"),
        ("a.mp4", b"", InvalidInputError, "is empty"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(99), InvalidInputError, "no video that can be read"),
        ("a.m3u8", b"#EXTM3U\nhttp://localhost/a.ts\n", UnsafeInputError, "playlist"),
        ("a.mp4", b"\n#EXTM3U\n/etc/passwd\n", UnsafeInputError, "playlist"),
        ("a.avi", b"ffconcat version 1.0\nfile /etc/passwd\n", UnsafeInputError, "playlist"),
        ("a.mpd", b'<?xml version="1.0"?><MPD/>', UnsafeInputError, "playlist"),
    ],
)
def test_what_is_no_video(tmp_path, capfd, name, content, kind, message):
    (tmp_path / name).write_bytes(content)
    (failure,) = read_items([tmp_path / name], INPUT)
    assert type(failure.error) is kind
    assert message in str(failure.error) and str(tmp_path / name) in str(failure.error)
    assert capfd.readouterr() == ("", "")


def test_without_opencv_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match=r"pip install 'cnnc\[video\]'"):
        next(read_frames(film(tmp_path / "a.avi")))
