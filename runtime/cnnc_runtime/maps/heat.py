"""A fully convolutional classifier's scores of one class, laid over the picture where the windows were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import UsageError
from cnnc_runtime.maps.class_maps import place_probabilities
from cnnc_runtime.maps.geometry import Placement
from cnnc_runtime.maps.windows import Windows

__all__ = ["class_index", "heat_of", "spread"]


def class_index(asked: str, count: int, labels: Sequence[str]) -> int:
    """The class that the user names, by its label or its number from 0.

    Raises:
        UsageError: there is no such class.
    """
    if asked in labels:
        return labels.index(asked)
    if not asked.isdecimal():
        near = [label for label in labels if asked.lower() in label.lower()][:3]
        hint = f": did you mean {', '.join(near)}?" if near else f": give a number, 0 to {count - 1}"
        raise UsageError(f"--class: no class is labeled {asked!r}{hint}")
    if int(asked) >= count:
        raise UsageError(f"--class {asked}: there are {count} classes, 0 to {count - 1}")
    return int(asked)


def heat_of(scores: NDArray[Any], index: int | None = None) -> tuple[int, NDArray[np.float64]]:
    """The probability of one class at each place.

    Args:
        scores: (C, h, w).
        index: of the class; None for the one whose score is the highest anywhere.

    Returns:
        the class, and (h, w) of 0 to 1.
    """
    probabilities, _ = place_probabilities(scores)
    chosen = int(np.unravel_index(int(probabilities.argmax()), scores.shape)[0]) if index is None else index
    return chosen, probabilities[chosen]


def spread(heat: NDArray[np.float64], placement: Placement, windows: Windows | None) -> NDArray[np.float64]:
    """The map over the picture, linear between the windows' centers, and beyond the outermost as there.

    Args:
        heat: (h, w).
        placement: of the picture in the network's input.
        windows: whose centers the places are; None for places that divide the input evenly.

    Returns:
        (H, W) of the picture, NaN where a crop cut it off.
    """
    at = []
    for axis, pixels in enumerate(placement.in_net()):
        if windows is None:
            places = pixels * heat.shape[axis] / placement.net[axis] - 0.5
        else:
            places = (pixels - windows.size[axis] / 2) / windows.stride[axis]
        at.append(np.clip(places, 0, heat.shape[axis] - 1))
    rows = np.stack([np.interp(at[0], np.arange(len(heat)), column) for column in heat.T], axis=1)
    whole = np.stack([np.interp(at[1], np.arange(heat.shape[1]), row) for row in rows])
    seen_rows, seen_columns = placement.visible()
    whole[~seen_rows] = np.nan
    whole[:, ~seen_columns] = np.nan
    return np.asarray(whole)
