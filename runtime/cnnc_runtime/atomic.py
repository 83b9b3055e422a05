"""Writes a file whole or not at all: what existed before is intact after any failure."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnc_runtime.errors import OutputError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write to; it takes the name `path` when the block ends well, and vanishes when it fails.

    Raises:
        OutputError: `path` exists (without `force`) or is a directory, its folder is missing or read-only,
            or the disk is full.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a directory: name a file")
    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists: use --force to replace it, or name another file")
    temporary = path.parent / f".cnnc-{secrets.token_hex(8)}"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except BrokenPipeError:
        raise  # of our standard output, not of this file
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
