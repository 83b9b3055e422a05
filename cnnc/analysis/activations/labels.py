"""Class labels: where they come from, and that they fit the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from cnnc_runtime.errors import InvalidInputError

__all__ = ["Labels", "encode", "folder_labels", "take_labels"]

_KEYS = ("labels", "label", "y", "target")


@dataclasses.dataclass(frozen=True)
class Labels:
    """Class indices (N,) from 0, and the names of the classes in sorted order."""

    indices: np.ndarray
    classes: tuple[str, ...]


def take_labels(arrays: dict[str, np.ndarray], inputs: Sequence[str]) -> np.ndarray | None:
    """Take the array named labels, label, y or target out of `arrays`, unless an input has that name."""
    key = next((key for key in _KEYS if key in arrays and key not in inputs), None)
    return None if key is None else arrays.pop(key)


def folder_labels(folder: Path, files: Sequence[Path]) -> list[str] | None:
    """The subfolder of each file, as torchvision's ImageFolder has them; None where there are not at least two."""
    if not folder.is_dir():
        return None
    parts = [file.relative_to(folder).parts for file in files]
    if any(len(part) < 2 for part in parts) or len({part[0] for part in parts}) < 2:
        return None
    return [part[0] for part in parts]


def encode(labels: ArrayLike, count: int, chosen: np.ndarray) -> Labels:
    """Labels of `count` samples -> the class indices of those that were `chosen`.

    Raises:
        InvalidInputError: they are not one whole number or word a sample, or all are the same.
    """
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidInputError(f"the labels have the shape {array.shape}: give one class index or name a sample")
    if len(array) != count:
        raise InvalidInputError(f"there are {len(array):,} labels for {count:,} samples: give one a sample")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        raise InvalidInputError("the labels are fractions or not finite: give class indices or names")
    if array.dtype.kind not in "biufUS":
        raise InvalidInputError(f"the labels are {array.dtype}: give class indices or names")
    values, indices = np.unique(array.astype(np.int64) if array.dtype.kind in "bf" else array, return_inverse=True)
    if len(values) < 2:
        raise InvalidInputError(f"all labels are {values[0]}: there is nothing to tell apart")
    return Labels(indices[chosen], tuple(map(str, values)))
