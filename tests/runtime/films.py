"""Videos written for a test, whose frames tell their own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnc_runtime.pipeline.video import load_opencv

_FIRST, _STEP = 20, 4  # brightness of frame 0, and from frame to frame
_LOST = 3  # of it in the conversion from RGB and back, within 1


def numbered(path: Path, frames: int, size: tuple[int, int] = (48, 32), codec: str = "mp4v") -> Path:
    """A film of `size` (width, height); frame n has the brightness 20 + 4 * n, and a brighter square that moves."""
    assert frames <= 54
    cv2 = load_opencv()
    width, height = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 30, size)
    assert writer.isOpened()
    for number in range(frames):
        frame = np.full((height, width, 3), _FIRST + _STEP * number, np.uint8)
        left = number % (width - 8)
        frame[4:12, left : left + 8] += 20
        writer.write(frame)
    writer.release()
    return path


def numbers(pictures: list[Image.Image]) -> list[int]:
    """The numbers that frames of a `numbered` film tell: of their bottom rows, away from the square."""
    return [round((np.asarray(picture)[-8:].mean() + _LOST - _FIRST) / _STEP) for picture in pictures]


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """Every frame as OpenCV alone gives it, (H, W, 3) in RGB."""
    video = load_opencv().VideoCapture(str(path))
    frames = []
    while True:
        is_there, frame = video.read()
        if not is_there:
            return frames
        frames.append(np.ascontiguousarray(frame[..., ::-1]))
