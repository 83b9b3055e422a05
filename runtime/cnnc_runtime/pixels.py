"""The image operations behind `Preprocessing`, on PIL images."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from cnnc_runtime.errors import InvalidInputError, ResourceLimitError

__all__ = ["center_crop", "resized", "to_eight_bit"]

_LONGEST_SIDE = 65535


def to_eight_bit(image: Image.Image, mode: str) -> Image.Image:
    """The image upright (EXIF), in `mode` "RGB" or "L".

    Raises:
        InvalidInputError: its pixels are floats or 32-bit, which have no agreed range.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = _from_sixteen_bit(image)
    if image.mode == mode:
        return image
    try:
        return image.convert(mode)
    except ValueError as error:  # LAB has no direct way to RGB
        raise InvalidInputError(f"pixel format {image.mode} cannot be converted to {mode}") from error


def _from_sixteen_bit(image: Image.Image) -> Image.Image:
    # Pillow's own convert() saturates: it makes every value above 255 white.
    values = np.asarray(image)
    if image.mode == "F" or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise InvalidInputError(f"pixels of mode {image.mode} have no agreed range: save them as .npy")
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def resized(image: Image.Image, size: int | tuple[int, int]) -> Image.Image:
    """Bilinear, with antialiasing: to exact (height, width), or to a shorter side of `size` pixels.

    Raises:
        ResourceLimitError: the longer side would grow beyond all use (a 1-pixel-wide image does that).
    """
    if isinstance(size, int):
        short, long = sorted(image.size)
        longer = int(size * long / short)  # torchvision truncates
        if longer > _LONGEST_SIDE:
            raise ResourceLimitError(f"{image.width}x{image.height} pixels: too narrow to resize to {size}")
        width, height = (size, longer) if image.width <= image.height else (longer, size)
    else:
        height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def center_crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """(height, width) from the center, padded with black where the image is smaller."""
    height, width = size
    pad_x, pad_y = max(width - image.width, 0), max(height - image.height, 0)
    if pad_x or pad_y:
        canvas = Image.new(image.mode, (image.width + pad_x, image.height + pad_y))
        canvas.paste(image, (pad_x // 2, pad_y // 2))
        image = canvas
    # round() is to even here and in torchvision
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
