"""A texture that moves by a known displacement: as frames, and as a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.pipeline.video import load_opencv

_ROOM = 64  # pixels around what is seen


def texture(
    size: tuple[int, int], displacement: tuple[float, float] = (0, 0), channels: int | None = None
) -> NDArray[np.uint8]:
    """(height, width) of a smooth random texture, gray or of channels, moved by (x to the right, y down)."""
    cv2 = load_opencv()
    height, width = size
    shape = (height + 2 * _ROOM, width + 2 * _ROOM, *(() if channels is None else (channels,)))
    smooth = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32), (0, 0), 2.5)
    spread = 255 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    x, y = displacement
    moved = cv2.warpAffine(spread, np.array([[1, 0, x - _ROOM], [0, 1, y - _ROOM]], np.float32), (width, height))
    return np.rint(moved).astype(np.uint8)


def moving_film(
    path: Path, frames: int, step: tuple[float, float] = (2, 1), size: tuple[int, int] = (72, 96), codec: str = "mp4v"
) -> Path:
    """A film of (height, width) whose colored texture moves by `step` pixels a frame, not further than 64 in all."""
    assert frames * max(map(abs, step)) <= _ROOM
    cv2 = load_opencv()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, size[::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(texture(size, (number * step[0], number * step[1]), 3))
    writer.release()
    return path
