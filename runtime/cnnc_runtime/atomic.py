"""Writes a file whole or not at all: what existed before is intact after any failure."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnc_runtime.errors import OutputError

__all__ = ["check_writable", "replacing"]


def check_writable(path: Path, *, force: bool) -> None:
    """Raise OutputError now, before any work, if `path` could not take a finished file at the end.

    Only a regular file is ever replaced: renaming over a device, a pipe or a link would destroy it, not write to it.
    """
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a directory: name a file, e.g. {path / 'out'}")
        if path.is_symlink():
            raise OutputError(f"{path} is a symbolic link: name its target, {path.parent / path.readlink()}")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a regular file: name another")
        if path.exists() and not force:
            raise OutputError(f"{path} exists: --force overwrites it")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: its folder {path.parent} does not exist")
        if not os.access(path.parent, os.W_OK):
            raise OutputError(f"{path}: its folder is not writable")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write to; it takes the name `path` when the block ends well, and vanishes when it fails.

    Raises:
        OutputError: `path` exists (without `force`) or is no regular file, its folder is missing or read-only,
            or the disk is full.
    """
    check_writable(path, force=force)
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
