"""Optical flow written as PNG: x and y in gray as they are encoded, and both as colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import OutputError
from cnnc_runtime.flow.encoding import encode
from cnnc_runtime.flow.wheel import colors_of

__all__ = ["write_pictures"]

_LEAST = 1.0  # pixels: in a sample where nothing moves further, colors would be of noise


def write_pictures(folder: Path, fields: Sequence[NDArray[np.floating[Any]]], bound: float) -> list[Path]:
    """Write `01-x.png`, `01-y.png`, `01-wheel.png`, `02-x.png`, ... of one sample into a folder.

    x and y are the codes of `encode`: 128 where nothing moves. In the wheel's colors full saturation is the longest
    displacement of all fields, at least 1 pixel; that is the same in the pictures of one sample, not of several.

    Args:
        folder: of this sample alone; made if it is not there.
        fields: (H, W, 2) each, in pixels.
        bound: as of `encode`.

    Returns:
        the files.

    Raises:
        OutputError: they cannot be written.
    """
    from PIL import Image

    largest = max([_LEAST, *(float(np.hypot(field[..., 0], field[..., 1]).max(initial=0)) for field in fields)])
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, field in enumerate(fields, 1):
            codes = encode(field, bound)
            pictures = {"x": codes[..., 0], "y": codes[..., 1], "wheel": colors_of(field, largest)}
            for kind, pixels in pictures.items():
                files.append(folder / f"{number:02d}-{kind}.png")
                Image.fromarray(np.ascontiguousarray(pixels)).save(files[-1])
    except OSError as error:
        raise OutputError(f"{folder}: flow pictures could not be written: {error.strerror or error}") from error
    return files
