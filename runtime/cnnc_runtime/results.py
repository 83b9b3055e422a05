"""What a result says to a reader: the top classes of a classifier, the extent of any other output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.batch import Result
from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.maps.class_maps import class_shares, highest_places, is_class_map

__all__ = ["describe", "is_scores"]


def describe(
    result: Result,
    labels: Sequence[str] = (),
    top: int = 5,
    *,
    slides: bool = False,
    heat_map: str | None = None,
) -> dict[str, Any]:
    """As plain JSON values: `{"name", "outputs": {name: ...}}`.

    An output with one axis of several values counts as class scores: `{"shape", "scores", "top"}`. `top` has
    `{"index", "label", "score"}`, best first; `scores` is "softmax" if that was applied here, "as is" if they
    were probabilities already. Any other is `{"shape", "min", "max", "mean"}`, of its finite values;
    `non_finite` counts the others, where there are any. Where an output is scores of classes at each place
    (`is_class_map`), `shares` says of the classes that win most places, `{"index", "label", "share"}`; of a classifier
    that `slides` over larger images, `scores` and `top` say of the highest scores anywhere, and their `place`.

    Labels name the classes of the outputs that have as many; a second head of another size has none. The output
    `heat_map` is of no classes, whatever its shape.

    Raises:
        InvalidInputError: there are labels, but no output has so many classes.
    """
    scored = [array for name, array in result.outputs.items() if name != heat_map]
    classes = {len(array) for array in scored if is_scores(array) or _is_map(array)}
    if labels and classes and len(labels) not in classes:
        raise InvalidInputError(
            f"{len(labels)} labels for {' and '.join(map(str, sorted(classes)))} classes: give one label a class"
        )
    outputs = {
        name: _extent(array)
        if name == heat_map
        else _describe(array, labels if array.ndim and len(labels) == len(array) else (), top, slides)
        for name, array in result.outputs.items()
    }
    return {"name": result.name, "outputs": outputs}


def is_scores(array: NDArray[Any]) -> bool:
    """Whether an item's output counts as class scores: one axis of several floating-point values."""
    return array.ndim == 1 and array.size > 1 and array.dtype.kind == "f"


def _is_map(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and array.dtype.kind == "f"


def _describe(array: NDArray[Any], labels: Sequence[str], top: int, slides: bool) -> dict[str, Any]:
    values = array.astype(np.float64)
    if np.isfinite(values).all():
        summary: dict[str, Any] = {"shape": list(array.shape)}
        if is_scores(array):
            return summary | _classes(values, labels, top)
        if slides and _is_map(array):
            return summary | highest_places(values, labels, top)
        if is_class_map(array, labels):
            return {**_extent(array), "shares": class_shares(array, labels, top)}
    return _extent(array)


def _extent(array: NDArray[Any]) -> dict[str, Any]:
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    summary: dict[str, Any] = {"shape": list(array.shape)}
    if finite.size < values.size:
        summary["non_finite"] = int(values.size - finite.size)
    extent = {"min": finite.min(), "max": finite.max(), "mean": finite.mean()} if finite.size else {}
    return summary | {key: float(extent[key]) if extent else None for key in ("min", "max", "mean")}


def _classes(values: NDArray[np.float64], labels: Sequence[str], top: int) -> dict[str, Any]:
    is_probability = values.min() >= 0 and values.max() <= 1 and abs(values.sum() - 1) < 1e-3
    scores = values if is_probability else _softmax(values)
    best = np.argsort(-values, kind="stable")[:top]  # equal scores in the order of their index
    return {
        "scores": "as is" if is_probability else "softmax",
        "top": [
            {"index": int(index), "label": labels[index] if labels else None, "score": float(scores[index])}
            for index in best
        ],
    }


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials: NDArray[np.float64] = np.exp(values - values.max())
    exponentials /= exponentials.sum()
    return exponentials
