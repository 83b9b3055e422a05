"""Reads .npy and .npz files without trusting them: no pickles, no header believed before it is checked."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError, ResourceLimitError

__all__ = ["Array", "open_npy", "read_npz"]

Array = NDArray[Any]

_LARGEST_MEMBER = 4 * 2**30


def open_npy(path: Path) -> Array:
    """The array of a .npy file, mapped into memory: a data set larger than memory can be run.

    Raises:
        InvalidInputError: it is not a .npy, holds Python objects, or is shorter than its header claims.
    """
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file)
            left = path.stat().st_size - file.tell()
        _check_claim(shape, dtype, left)
        # An empty array cannot be mapped
        return np.empty(shape, dtype) if 0 in shape else np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a header is read as Python source: damaged ones raise what a parser may
        raise _unreadable(path, error) from error


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of a .npz file, by name.

    Raises:
        InvalidInputError: it is not a .npz, is damaged, or holds Python objects.
        ResourceLimitError: an array is over 4 GiB: a .npz cannot be mapped, so it would be read whole.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in archive.infolist()}
    except ResourceLimitError as error:
        raise ResourceLimitError(f"{path}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # as above, and what zipfile and its decompressors raise
        raise _unreadable(path, error) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as file:
        shape, dtype = _header(file)
        _check_claim(shape, dtype, info.file_size - file.tell())
        if info.file_size > _LARGEST_MEMBER:
            raise ResourceLimitError(f"{info.filename} is over 4 GiB: save it as .npy, which is read in parts")
        file.seek(0)
        array: Array = npy.read_array(file, allow_pickle=False)
        return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format is not supported")
    shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    return shape, dtype


def _check_claim(shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would run code: save numbers")
    if any(type(side) is not int or side < 0 for side in shape):  # True passes for an int
        raise ValueError(f"its header claims the impossible shape {shape}")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > available:
        raise ValueError(f"its header claims {claimed:,} bytes, the file has {available:,}")


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InvalidInputError(f"{path} is not a {path.suffix} that can be read: {' '.join(reason.split())}")
