"""Displacements as colors: the wheel of Baker et al., A Database and Evaluation Methodology for Optical Flow, 2007."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["color_wheel", "colors_of"]

# How many steps of the wheel lead from each of these colors to the next: more where the eye sees more.
_STEPS = (
    ((255, 0, 0), 15),  # red to yellow
    ((255, 255, 0), 6),  # to green
    ((0, 255, 0), 4),  # to cyan
    ((0, 255, 255), 11),  # to blue
    ((0, 0, 255), 13),  # to magenta
    ((255, 0, 255), 6),  # to red
)
_BEYOND = 0.75  # brightness of displacements that are larger than the largest


def color_wheel() -> NDArray[np.float64]:
    """The 55 saturated colors, (55, 3) of 0 to 1, from red around to red again: red is to the right, then clockwise."""
    corners = [np.array(color) / 255 for color, _ in _STEPS]
    parts = []
    for index, (_, steps) in enumerate(_STEPS):
        share = np.arange(steps)[:, None] / steps
        parts.append((1 - share) * corners[index] + share * corners[(index + 1) % len(corners)])
    return np.concatenate(parts)


def colors_of(field: NDArray[np.floating[Any]], largest: float | None = None) -> NDArray[np.uint8]:
    """The picture of a field: hue says the direction, saturation the length; what does not move is white.

    Args:
        field: (H, W, 2) in pixels: x to the right, y down.
        largest: the length of full saturation; what is longer is darker. If None, the longest in the field.

    Returns:
        RGB, (H, W, 3).
    """
    x, y = field[..., 0].astype(np.float64), field[..., 1].astype(np.float64)
    length = np.hypot(x, y)
    full = float(length.max(initial=0)) if largest is None else largest
    radius = length / full if full > 0 else length
    wheel = color_wheel()
    place = (np.arctan2(y, x) / (2 * np.pi)) % 1 * len(wheel)
    low = place.astype(int) % len(wheel)
    share = (place - np.floor(place))[..., None]
    hue = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    inside = radius[..., None] <= 1
    colors = np.where(inside, 1 - radius[..., None] * (1 - hue), _BEYOND * hue)
    return np.asarray(np.rint(255 * colors), np.uint8)
