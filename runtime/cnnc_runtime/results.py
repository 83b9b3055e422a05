"""What a result says to a reader: the top classes of a classifier, the extent of any other output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.batch import Result
from cnnc_runtime.errors import InvalidInputError

__all__ = ["describe"]


def describe(result: Result, labels: Sequence[str] = (), top: int = 5) -> dict[str, Any]:
    """As plain JSON values: `{"name", "outputs": {name: ...}}`.

    An output with one axis of several values counts as class scores: `{"shape", "scores", "top"}`. `top` has
    `{"index", "label", "score"}`, best first; `scores` is "softmax" if that was applied here, "as is" if they
    were probabilities already. Any other is `{"shape", "min", "max", "mean"}`, of its finite values;
    `non_finite` counts the others, where there are any.

    Raises:
        InvalidInputError: there are labels, but not one a class.
    """
    outputs = {name: _describe(array, labels, top) for name, array in result.outputs.items()}
    return {"name": result.name, "outputs": outputs}


def _describe(array: NDArray[Any], labels: Sequence[str], top: int) -> dict[str, Any]:
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    summary: dict[str, Any] = {"shape": list(array.shape)}
    if finite.size < values.size:
        summary["non_finite"] = int(values.size - finite.size)
    if array.ndim == 1 and array.size > 1 and array.dtype.kind == "f" and finite.size == values.size:
        return summary | _classes(values, labels, top)
    extent = {"min": finite.min(), "max": finite.max(), "mean": finite.mean()} if finite.size else {}
    return summary | {key: float(extent[key]) if extent else None for key in ("min", "max", "mean")}


def _classes(values: NDArray[np.float64], labels: Sequence[str], top: int) -> dict[str, Any]:
    if labels and len(labels) != len(values):
        raise InvalidInputError(f"{len(labels)} labels for {len(values)} classes: give one label a class")
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
