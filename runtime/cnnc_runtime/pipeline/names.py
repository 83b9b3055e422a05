"""What the user named -> file names: files, folders at any depth, patterns, a list on standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.images import SUFFIXES

__all__ = ["STDIN", "list_names"]

STDIN = "-"


def list_names(paths: Sequence[str | os.PathLike[str]], stdin: BinaryIO | None = None) -> list[str]:
    """The files that `paths` name, as strings: a million `Path`s would take a gigabyte.

    A folder gives its images at any depth, sorted; a pattern (`*`, `?`, `[...]`, `**` for any depth) all files
    it fits, sorted, and the images of the folders it fits; `-` the names on `stdin`, one a line, or separated by
    NUL as `find -print0` writes them. A name that exists is never a pattern.

    Raises:
        InvalidInputError: a folder or list is empty or cannot be read, or a pattern fits nothing.
        UsageError: `-` is given twice, or without `stdin`.
    """
    given = [os.fspath(path) for path in paths]
    if given.count(STDIN) > (stdin is not None):
        raise UsageError("standard input can be read once: give `-` once")
    names: list[str] = []
    for path in given:
        if path == STDIN and stdin is not None:
            for line in _lines(stdin):
                names += _files(line)
        elif glob.has_magic(path) and not Path(path).exists():
            names += _matches(path)
        else:
            names += _files(path)
    return names


def _lines(stdin: BinaryIO) -> list[str]:
    data = stdin.read()
    mark = b"\0" if b"\0" in data else b"\n"
    names = [os.fsdecode(line.removesuffix(b"\r")) for line in data.split(mark) if line.strip()]
    if not names:
        raise InvalidInputError("standard input names no files: give one a line")
    return names


def _files(path: str) -> list[str]:
    if not Path(path).is_dir():
        return [str(Path(path))]
    found = list(_images(str(Path(path))))
    if not found:
        raise InvalidInputError(
            f"{path} holds no images ({', '.join(sorted(SUFFIXES))}): "
            f"for other files give a pattern, '{path.rstrip('/')}/**/*.npy'"
        )
    return found


def _matches(pattern: str) -> list[str]:
    matches = sorted(map(Path, glob.iglob(pattern, recursive=True)))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise InvalidInputError(f"{pattern} fits no file: see what is there, and quote the pattern")
    files: list[str] = []
    for match in matches:
        if not match.is_dir():
            files.append(str(match))
        elif "**" not in pattern:  # else its files fit by themselves
            files += _images(str(match))
    if not files:
        raise InvalidInputError(f"{pattern} fits only folders without images")
    return files


def _images(folder: str) -> Iterator[str]:
    """Depth first, by name, which is the order of sorted paths; hidden ones left out, such as macOS's ._photo.jpg."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda one: one.name)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in entries:
        name = entry.name if folder == "." else str(Path(folder) / entry.name)
        if entry.is_dir(follow_symlinks=False):
            yield from _images(name)
        elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
            yield name
