"""The frames of a video, through OpenCV (the extra `video`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc_runtime.errors import InvalidInputError, UnsafeInputError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SUFFIXES", "count_decoded", "count_frames", "is_count_exact", "load_opencv", "read_chosen", "read_frames"]

# Playlists are here to be refused by name.
SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m3u8", ".m3u", ".mpd"})

_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")

_KINDS = "MP4, MOV, AVI, MKV, WebM or MPEG"


def read_frames(file: Path, every: int = 1) -> Iterator[tuple[int, Image]]:
    """(number, RGB picture) of each frame whose number, from 0, is a multiple of `every`; turned upright.

    Raises:
        UsageError: OpenCV is not installed.
        UnsafeInputError: it is a playlist: FFmpeg would open the files and addresses that it names.
        InvalidInputError: it is no video, has no frames, or ends before the frame it claims as its last.
    """
    return read_chosen(file, lambda number: number % every == 0)


def read_chosen(file: Path, is_wanted: Callable[[int], bool]) -> Iterator[tuple[int, Image]]:
    """As `read_frames`, of the frames whose number `is_wanted`; others are decoded, but not converted.

    Raises:
        CnncError: as `read_frames`.
    """
    from PIL import Image

    cv2, video = _open(file)
    number = 0
    try:
        claimed = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        while video.grab():
            if is_wanted(number):
                is_whole, frame = video.retrieve()
                if not is_whole:
                    break
                yield number, Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            number += 1
    except cv2.error as error:
        raise InvalidInputError(f"{file} is damaged after frame {number}: {' '.join(str(error).split())}") from error
    finally:
        video.release()
    if number == 0:
        raise InvalidInputError(f"{file} holds no frames that can be decoded")
    if number < 0.95 * claimed - 1:  # the count of some formats is an estimate
        raise InvalidInputError(f"{file} ends after {number} of its {claimed} frames: get a whole copy of it")


def is_count_exact(file: Path) -> bool:
    """Whether `count_frames` reads it from an index, as of MP4, MOV and AVI; elsewhere it is duration times rate.

    Raises:
        CnncError: as `read_frames`.
    """
    start = _check_content(file)
    return start[4:8] in _MP4 or start[:4] == b"RIFF"


def count_decoded(file: Path) -> int:
    """How many frames it has, by decoding them all.

    Raises:
        CnncError: as `read_frames`.
    """
    count = 0

    def counted(number: int) -> bool:
        nonlocal count
        count = number + 1
        return False

    for _ in read_chosen(file, counted):
        pass
    return count


def count_frames(file: Path, every: int = 1) -> int:
    """How many frames `read_frames` will give, by the file's own claim.

    Raises:
        CnncError: as `read_frames`.
    """
    cv2, video = _open(file)
    try:
        return -(-max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))) // every)
    finally:
        video.release()


def _open(file: Path) -> tuple[Any, Any]:
    _check_content(file)
    cv2 = load_opencv()
    try:
        video = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
        is_open = video.isOpened()
    except cv2.error as error:
        raise InvalidInputError(f"{file} cannot be opened: {' '.join(str(error).split())}") from error
    if not is_open:
        raise InvalidInputError(f"{file} holds no video that can be read: is it whole, and not sound only?")
    return cv2, video


def load_opencv() -> Any:
    """The module cv2, told to be silent.

    Raises:
        UsageError: it is not installed.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it writes to stderr by itself; what fails we say
    try:
        import cv2
    except ImportError as error:
        raise UsageError(f"videos need OpenCV: pip install 'cnnc[video]' ({error})") from error
    cv2.utils.logging.setLogLevel(0)
    return cv2


def _check_content(file: Path) -> bytes:
    """The file's first bytes. Only containers of below reach FFmpeg, whose playlist readers open other files."""
    try:
        with file.open("rb") as opened:
            start = opened.read(400)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t")
    if text.startswith((b"#EXT", b"ffconcat", b"<?xml", b"<MPD", b"v=0")):
        raise UnsafeInputError(f"{file} is a playlist, which would open what it names: give the video itself")
    is_known = (
        start[4:8] in _MP4
        or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")
        or start[:4] in (b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3")
        or (start[:1] == b"G" and start[188:189] == b"G")
    )
    if not is_known:
        raise InvalidInputError(f"{file} is not a video that can be read: convert it to one of {_KINDS}")
    return start
