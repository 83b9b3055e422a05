"""Scores of each pixel -> a mask: the class of each, as a picture whose pixel values are the classes' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import OutputError, UnsupportedModelError
from cnnc_runtime.maps.geometry import Placement

__all__ = ["VOID", "class_mask", "fit_mask", "voc_palette", "write_mask"]

VOID = 255  # what no class is: PASCAL VOC's number for pixels that do not count


def class_mask(scores: NDArray[Any]) -> NDArray[np.uint8]:
    """The class of each pixel: the highest score's, the first of equal ones; NaN everywhere is `VOID`.

    Args:
        scores: (C, H, W) for C classes; of one channel, (1, H, W), a logit: 1 where its sigmoid is above 1/2.

    Returns:
        (H, W) in uint8.

    Raises:
        UnsupportedModelError: it is no such map, or has more classes than a picture's palette.
    """
    if scores.ndim != 3 or not scores.shape[0]:
        raise UnsupportedModelError(f"a mask needs an output (N, classes, H, W), this one is {('N', *scores.shape)}")
    if scores.shape[0] > VOID:
        raise UnsupportedModelError(f"{scores.shape[0]} classes: the pixels of a mask can tell {VOID}")
    if len(scores) == 1:
        mask: NDArray[np.uint8] = (scores[0] > 0).astype(np.uint8)
    else:
        mask = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=0).astype(np.uint8)
    mask[np.isnan(scores).all(axis=0)] = VOID
    return mask


def fit_mask(mask: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
    """The mask over the picture that the network saw: the class at each of its pixels, `VOID` where a crop cut it off.

    Args:
        mask: (h, w), over the whole of the network's input, whatever its stride.
        placement: of the picture in the input.

    Returns:
        (H, W) of the picture.
    """
    rows, columns = (
        np.clip((at * count / whole).astype(np.int64), 0, count - 1)
        for at, count, whole in zip(placement.in_net(), mask.shape, placement.net, strict=True)
    )
    seen_rows, seen_columns = placement.visible()
    fitted = np.full(placement.size, VOID, np.uint8)
    fitted[np.ix_(seen_rows, seen_columns)] = mask[np.ix_(rows[seen_rows], columns[seen_columns])]
    return fitted


def voc_palette() -> NDArray[np.uint8]:
    """The colors of PASCAL VOC: bits 0, 3, 6 of a class's number are the high bits of red, 1, 4, 7 of green, and so on.

    Source: VOClabelcolormap.m of the VOC development kit. Class 0, the background, is black.

    Returns:
        (256, 3) in RGB.
    """
    numbers = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for channel in range(3):
        for place in range(8):
            bit = (numbers >> (3 * place + channel)) & 1
            colors[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colors


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Write a PNG of one byte a pixel, the class, with VOC's colors as its palette; folders are made.

    Raises:
        OutputError: it cannot be written.
    """
    from PIL import Image

    picture = Image.fromarray(mask).convert("P")  # of mode L: the values stay
    picture.putpalette(voc_palette().tobytes())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
