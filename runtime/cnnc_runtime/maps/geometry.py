"""Where a picture lies in the network's input: how far it was scaled, and where its corner came to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["Placement", "place"]


@dataclass(frozen=True)
class Placement:
    """A picture of `size` in an input of `net`, as (height, width) in pixels, all of them.

    A point at y pixels from the picture's upper edge is at origin + scale * y from the input's: the centers of
    pixels are at y = 0.5, 1.5, ...

    Attributes:
        size: of the picture.
        net: of the network's input.
        scale: input pixels per picture pixel.
        origin: where the picture's upper left corner is; negative where a crop cut it off.
    """

    size: tuple[int, int]
    net: tuple[int, int]
    scale: tuple[float, float]
    origin: tuple[float, float]

    def in_net(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the centers of the picture's rows, and of its columns, are in the input: (height,) and (width,)."""
        centers = [np.arange(count, dtype=np.float64) + 0.5 for count in self.size]
        return self.origin[0] + self.scale[0] * centers[0], self.origin[1] + self.scale[1] * centers[1]

    def visible(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows, and which columns, the network saw: those that no crop cut off."""
        rows, columns = self.in_net()
        return (rows >= 0) & (rows < self.net[0]), (columns >= 0) & (columns < self.net[1])


def place(prepare: Preprocessing, size: Sequence[int]) -> Placement:
    """Follow `prepare.pixels` with a picture's size alone.

    Args:
        prepare: what made the input.
        size: (height, width) of the picture, upright.
    """
    height, width = before = (int(size[0]), int(size[1]))
    top = left = 0.0
    if isinstance(prepare.resize, tuple) and prepare.letterbox:
        box = prepare.resize
        height, width = _fitted_inside(before, box)
        top, left = (float(round((whole - part) * 0.5)) for whole, part in zip(box, (height, width), strict=True))
        canvas = box
    else:
        height, width = canvas = _resized(before, prepare.resize)
    if prepare.crop is not None:
        rows, columns = (_crop_start(whole, part) for whole, part in zip(canvas, prepare.crop, strict=True))
        top, left = top - rows, left - columns
    return Placement(before, prepare.crop or canvas, (height / before[0], width / before[1]), (top, left))


def _resized(size: tuple[int, int], to: int | tuple[int, int] | None) -> tuple[int, int]:
    """As `pixels.resized`."""
    if to is None or isinstance(to, tuple):
        return to or size
    longer = int(to * max(size) / min(size))
    return (longer, to) if size[1] <= size[0] else (to, longer)


def _fitted_inside(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """As Pillow's ImageOps.contain."""
    height, width = size
    if width / height > box[1] / box[0]:
        return round(height / width * box[1]), box[1]
    if width / height < box[1] / box[0]:
        return box[0], round(width / height * box[0])
    return box


def _crop_start(whole: int, part: int) -> int:
    """As `pixels.center_crop`: where the cut begins, negative where it pads."""
    padding = max(part - whole, 0)
    return round((whole + padding - part) / 2) - padding // 2
