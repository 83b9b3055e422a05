"""Scores of classes at each place, (C, H, W): what they say of a whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_shares", "highest_places", "is_class_map", "place_probabilities"]

_IMAGE_CHANNELS = (1, 3, 4)  # an output with as many may be an image


def is_class_map(array: NDArray[Any], labels: Sequence[str] = ()) -> bool:
    """Whether an item's output (C, H, W) counts as scores of C classes at each place.

    It does with as many labels as channels; without labels, unless it has the channels of an image (1, 3 or 4).
    """
    if array.ndim != 3 or array.dtype.kind != "f" or not array.size:
        return False
    return len(labels) == array.shape[0] or array.shape[0] not in _IMAGE_CHANNELS


def class_shares(scores: NDArray[Any], labels: Sequence[str] = (), top: int = 5) -> list[dict[str, Any]]:
    """The classes that win somewhere, by the share of places where their score is the highest; most first.

    Args:
        scores: (C, H, W), without NaN.
        labels: by class, or none.
        top: how many at most.

    Returns:
        `{"index", "label", "share"}` each; all shares add up to 1.
    """
    counts = np.bincount(scores.argmax(axis=0).ravel(), minlength=scores.shape[0])
    best = [int(index) for index in np.argsort(-counts, kind="stable")[:top] if counts[index]]
    return [
        {"index": index, "label": labels[index] if labels else None, "share": float(counts[index] / counts.sum())}
        for index in best
    ]


def place_probabilities(scores: NDArray[Any]) -> tuple[NDArray[np.float64], str]:
    """The softmax over the classes at each place, and "softmax"; or what are probabilities already, and "as is"."""
    values = scores.astype(np.float64)
    if values.min() >= 0 and values.max() <= 1 and np.abs(values.sum(axis=0) - 1).max() < 1e-3:
        return values, "as is"
    exponentials = np.exp(values - values.max(axis=0))
    return exponentials / exponentials.sum(axis=0), "softmax"


def highest_places(scores: NDArray[Any], labels: Sequence[str] = (), top: int = 5) -> dict[str, Any]:
    """The top classes of a classifier that slid over a picture: by the highest probability of each at any place.

    Args:
        scores: (C, h, w), without NaN.
        labels: by class, or none.
        top: how many.

    Returns:
        `{"scores", "top"}` as of a classifier, with the `place` [row, column] of each on the map.
    """
    probabilities, kind = place_probabilities(scores)
    flat = probabilities.reshape(len(probabilities), -1)
    highest = flat.max(axis=1)
    best = np.argsort(-highest, kind="stable")[:top]
    places = [np.unravel_index(int(flat[index].argmax()), scores.shape[1:]) for index in best]
    return {
        "scores": kind,
        "top": [
            {
                "index": int(index),
                "label": labels[index] if labels else None,
                "score": float(highest[index]),
                "place": [int(row), int(column)],
            }
            for index, (row, column) in zip(best, places, strict=True)
        ],
    }
