"""A heat map laid over its picture: colors from blue (0) over green to red (1), mixed with the pixels below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import OutputError

__all__ = ["heat_colors", "overlay", "write_picture"]

_TURBO = np.array(  # a row a power of the value, a column a channel
    [
        (0.13572138, 0.09140261, 0.10667330),
        (4.61539260, 2.19418839, 12.64194608),
        (-42.66032258, 4.84296658, -60.58204836),
        (132.13108234, -14.18503333, 110.36276771),
        (-152.94239396, 4.27729857, -89.90310912),
        (59.28637943, 2.82956604, 27.34824973),
    ]
)


def heat_colors(heat: NDArray[Any]) -> NDArray[np.float64]:
    """Turbo (Mikhailov 2019), by its polynomials: a rainbow whose lightness has no steps that the values do not have.

    Args:
        heat: (H, W) of 0 to 1; what is outside is taken as the end it is beyond.

    Returns:
        (H, W, 3) of 0 to 255, in RGB.
    """
    value = np.clip(heat.astype(np.float64), 0, 1)
    powers = np.stack([value**exponent for exponent in range(len(_TURBO))], axis=-1)
    return np.asarray(255 * np.clip(powers @ _TURBO, 0, 1))


def overlay(picture: NDArray[np.uint8], heat: NDArray[Any], strength: float = 0.5) -> NDArray[np.uint8]:
    """The picture with the heat map over it; NaN in the map leaves a pixel as it is, in gray.

    Args:
        picture: (H, W, 3) in RGB.
        heat: (H, W) of 0 to 1.
        strength: of the heat's colors, against those of the picture.
    """
    unseen = np.isnan(heat)
    below = picture.astype(np.float64)
    mixed = (1 - strength) * below + strength * heat_colors(np.where(unseen, 0, heat))
    mixed[unseen] = below[unseen].mean(axis=-1, keepdims=True)
    return np.rint(mixed).astype(np.uint8)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) as a PNG; folders are made.

    Raises:
        OutputError: it cannot be written.
    """
    from PIL import Image

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
