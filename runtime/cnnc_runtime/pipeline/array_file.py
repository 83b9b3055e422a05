"""Arrays one after another in a file that only grows; the journal's lines say where each is."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import InvalidInputError

__all__ = ["ArrayFile", "write_all"]

Place = list[Any]
"""As JSON values: `[start, bytes, dtype, shape, CRC-32]`."""


class ArrayFile:
    """Takes arrays, and gives them back; there is no file before the first one. Raises OSError as files do.

    Attributes:
        end: where the next array starts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self.end = path.stat().st_size if path.exists() else 0

    def append(self, array: Array) -> Place:
        """Write one array; the place from which `read` gets it back."""
        data = np.ascontiguousarray(array).tobytes()
        write_all(self._open(), data)
        start, self.end = self.end, self.end + len(data)
        return [start, len(data), array.dtype.str, list(array.shape), zlib.crc32(data)]

    def read(self, place: Place) -> Array:
        """The array at a place.

        Raises:
            InvalidInputError: its bytes are not those that were written.
        """
        start, length, dtype, shape, crc = place
        file = self._open()
        file.seek(start)
        data = file.read(length)
        if zlib.crc32(data) != crc:
            raise InvalidInputError(f"{self._path} is damaged: --force without --resume starts again")
        return np.frombuffer(data, dtype).reshape(shape)

    def cut(self, end: int) -> None:
        """Drop everything from `end` on."""
        if end < self.end:
            self._open().truncate(end)
            self.end = end

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> Any:
        if self._file is None:
            self._file = self._path.open("a+b", buffering=0)
        return self._file


def write_all(file: Any, data: bytes) -> None:
    """Write to an unbuffered file, whose `write` may take a part only."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
