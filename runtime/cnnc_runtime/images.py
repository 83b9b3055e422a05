"""Opens image files with Pillow; whatever a broken one makes Pillow raise becomes one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from cnnc_runtime.errors import CnncError, InvalidInputError, ResourceLimitError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SUFFIXES", "open_image"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

# Named, so that no file reaches Pillow's EPS reader, which runs Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")


def open_image(source: Path | BinaryIO, name: str | None = None) -> Image:
    """The first frame of an image, decoded whole; its format is told by its content, not its name.

    Args:
        source: a file, or its content.
        name: what messages call it; the path if None.

    Raises:
        InvalidInputError: it is not an image of a supported format, or is damaged.
        ResourceLimitError: it has more pixels than Pillow's limit against decompression bombs.
    """
    from PIL import Image

    try:
        with Image.open(source, formats=_FORMATS) as image:
            image.load()
            return image.copy()  # the file is closed on return
    except Exception as error:  # Pillow raises a dozen types on damaged files
        raise _translated(name or str(source), error) from error


def _translated(path: str, error: Exception) -> CnncError:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return ResourceLimitError(f"{path} has too many pixels (a decompression bomb?): make it smaller")
    if isinstance(error, MemoryError):
        return ResourceLimitError(f"{path}: not enough memory to decode it")
    if isinstance(error, UnidentifiedImageError):
        kinds = "PNG, JPEG, BMP, WebP, TIFF, GIF, .npy or .npz"
        return InvalidInputError(f"{path} is not an image that can be read: convert it to one of {kinds}")
    if isinstance(error, PermissionError):
        return InvalidInputError(f"{path} cannot be read: {error.strerror}")
    reason = " ".join(str(error).split()) or type(error).__name__
    return InvalidInputError(f"{path} is damaged, get a whole copy of it: {reason}")
