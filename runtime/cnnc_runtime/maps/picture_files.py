"""Pictures that a run writes beside its results: which file each item's goes to, and what lies under it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc_runtime.images import open_image
from cnnc_runtime.pipeline.tasks import is_container

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PictureFiles", "original"]

_NUMBER = re.compile(r"(-\d+)*$")  # of a frame, row or clip


def original(name: str) -> Image | None:
    """The upright picture that an item was made of; None where it is no picture file of its own, but a frame or array.

    Raises:
        CnncError: the file is gone or damaged by now.
    """
    from PIL import ImageOps

    path = Path(name)
    if is_container(path) or not path.is_file():
        return None
    return ImageOps.exif_transpose(open_image(path))


class PictureFiles:
    """Names the PNG of each item in a folder, as the inputs lie in theirs: `pics/a/b.jpg` -> `folder/a/b.png`.

    Where two inputs would share one (`b.jpg`, `b.png`) their suffixes stay: `b.jpg.png`; so does that of an input
    whose file would be the one of another input then (`b.jpg.bmp`), or of one of its frames. A frame, row or clip is
    numbered: `film.mp4[12]` -> `folder/film.mp4-12.png`.

    Args:
        folder: where they go.
        names: of all files of the run.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        paths = {os.path.abspath(name) for name in names}  # noqa: PTH100 - a million names
        parents = {os.path.dirname(path) for path in paths}  # noqa: PTH120
        self._top = os.path.commonpath(parents) if parents else ""
        count = Counter(os.path.splitext(path)[0] for path in paths)  # noqa: PTH122
        self._taken = {stem for stem, uses in count.items() if uses > 1 or _NUMBER.sub("", stem) in paths}

    def __call__(self, name: str) -> Path:
        """The file of the item `name`."""
        file, number = re.fullmatch(r"(.*?)((?:\[[^\]/]*\])?)", name, re.DOTALL).groups()  # type: ignore[union-attr]
        if number and Path(name).is_file():
            file, number = name, ""
        path = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links out of the folder
        inside = path.relative_to(self._top) if path.is_relative_to(self._top) else Path(path.name)
        keeps_suffix = number or is_container(path) or str(path.with_suffix("")) in self._taken
        stem = inside.name if keeps_suffix else inside.stem
        index = re.sub(r"[^\w.]+", "-", number).rstrip("-")
        return self._folder / inside.parent / f"{stem}{index}.png"

    def folder(self, name: str) -> Path:
        """Where the pictures of the item `name` go, if it has several: `film.mp4[0:4]` -> `folder/film.mp4-0-4`."""
        return self(name).with_suffix("")
