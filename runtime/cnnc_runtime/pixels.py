"""The image operations behind `Preprocessing`, on PIL images."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from cnnc_runtime.errors import InvalidInputError, ResourceLimitError

__all__ = ["center_crop", "fit_inside", "resized", "to_eight_bit"]

_LONGEST_SIDE = 65535
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


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


def resized(image: Image.Image, size: int | tuple[int, int], interpolation: str = "bilinear") -> Image.Image:
    """To exact (height, width), or to a shorter side of `size` pixels, as Pillow's Image.resize: with antialiasing.

    The longer side is int(size * long / short), as torchvision's Resize has it.

    Raises:
        ResourceLimitError: the longer side would grow beyond all use (a 1-pixel-wide image does that).
    """
    if isinstance(size, int):
        short, long = sorted(image.size)
        longer = int(size * long / short)
        if longer > _LONGEST_SIDE:
            raise ResourceLimitError(f"{image.width}x{image.height} pixels: too narrow to resize to {size}")
        width, height = (size, longer) if image.width <= image.height else (longer, size)
    else:
        height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), _RESAMPLING[interpolation])


def fit_inside(
    image: Image.Image, size: tuple[int, int], interpolation: str, fill: tuple[int, ...] = (0,)
) -> Image.Image:
    """As large as fits into (height, width) with its aspect kept, centered, bars of `fill` around: ImageOps.pad.

    The side that does not reach rounds to the nearest pixel, and half of what is left, to even, goes before it.

    Args:
        image: in mode "RGB" or "L".
        size: (height, width).
        interpolation: as of `resized`.
        fill: an 8-bit value a channel of the image.

    Raises:
        ResourceLimitError: the image is so narrow that nothing of it would be left.
    """
    height, width = size
    if not round(min(image.height / image.width * width, image.width / image.height * height, height, width)):
        raise ResourceLimitError(f"{image.width}x{image.height} pixels: too narrow to fit into {height}x{width}")
    return ImageOps.pad(image, (width, height), _RESAMPLING[interpolation], fill if image.mode == "RGB" else fill[0])


def center_crop(image: Image.Image, size: tuple[int, int], fill: tuple[int, ...] = (0,)) -> Image.Image:
    """(height, width) from the center, padded with `fill` where the image is smaller, as torchvision's CenterCrop.

    Left is round((image width - width) / 2), to even; of an odd padding the larger half is on the right.
    """
    height, width = size
    pad_x, pad_y = max(width - image.width, 0), max(height - image.height, 0)
    if pad_x or pad_y:
        color = fill[0] if image.mode in ("L", "F") else fill * 3 if len(fill) == 1 else fill
        canvas = Image.new(image.mode, (image.width + pad_x, image.height + pad_y), color)
        canvas.paste(image, (pad_x // 2, pad_y // 2))
        image = canvas
    # round() is to even here and in torchvision
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))
