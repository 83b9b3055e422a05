"""One output of the artifact beside the exact one: shape and type, special values, and how far off."""

from __future__ import annotations

import dataclasses

import numpy as np

from cnnc.verify.tolerance import accepts, floor_of, items_of, relative_error, scales_of
from cnnc_runtime.errors import VerificationError

__all__ = ["Difference", "compare", "worst_of"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output is from exact, on one case or (`worst_of`) on all.

    Attributes:
        output: its name.
        error: the largest error of any item, over that item's largest magnitude (`relative_error`).
        own_error: the same of the original in its own precision.
        floor: what is allowed beside a multiple of that, by the output's type.
        max_abs: the largest error itself.
        max_rel: the largest error of an element over that element, among those above a thousandth of the scale.
        cosine: the smallest cosine between an item and its exact values.
        top1: the share of items with the same largest element; None where items are no vectors of scores.
        worst: where the error is largest: the case, then the index.
        constant: True while no input was seen to change the output.
    """

    output: str
    error: float
    own_error: float
    floor: float
    max_abs: float
    max_rel: float
    cosine: float
    top1: float | None
    worst: tuple[str, tuple[int, ...]]
    constant: bool


def compare(name: str, case: str, got: np.ndarray, own: np.ndarray, exact: np.ndarray) -> Difference:
    """Compare; `own` is the original's result in its own precision, `exact` that in float64.

    Raises:
        VerificationError: shapes or types differ, NaN or infinity is elsewhere, or the error is no rounding.
    """
    where = f"output {name!r} on {case}"
    if got.shape != own.shape:
        raise VerificationError(f"{where}: the artifact gives shape {got.shape}, the original {own.shape}")
    if got.dtype != own.dtype:
        raise VerificationError(f"{where}: the artifact gives {got.dtype}, the original {own.dtype}")
    # Where the original overflows in its own precision, its infinity or NaN is the result to equal.
    exact = np.where(np.isfinite(own), exact, own) if own.dtype.kind == "f" else exact
    error, own_error = relative_error(got, exact), relative_error(own, exact)
    if np.isinf(error):
        raise VerificationError(f"{where}: the artifact has NaN or infinity where the original has none, or lacks it")
    if not accepts(error, own_error, got.dtype):
        raise VerificationError(
            f"{where}: the artifact is off by {error:.1e} of the output's magnitude, the original by "
            f"{own_error:.1e} only: this is no rounding"
        )
    return _measure(name, case, got, exact, error, own_error)


def _measure(name: str, case: str, got: np.ndarray, exact: np.ndarray, error: float, own_error: float) -> Difference:
    if got.size == 0:
        return Difference(name, error, own_error, floor_of(got.dtype), 0.0, 0.0, 1.0, None, (case, ()), constant=True)
    finite = np.isfinite(exact)
    a, b = items_of(np.where(finite, got, 0)), items_of(np.where(finite, exact, 0))
    off = np.abs(a - b)
    large = np.abs(b) > 1e-3 * scales_of(b)[:, None]
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(axis=1), norms, out=np.ones(len(a)), where=norms > 0)
    worst = np.unravel_index(int(off.argmax()), got.shape if got.ndim > 1 else (1, got.size))
    return Difference(
        output=name,
        error=error,
        own_error=own_error,
        floor=floor_of(got.dtype),
        max_abs=float(off.max()),
        max_rel=float(np.divide(off, np.abs(b), out=np.zeros_like(off), where=large).max()),
        cosine=float(min(cosines.min(), 1.0)),
        top1=float((a.argmax(axis=1) == b.argmax(axis=1)).mean()) if got.ndim == 2 and got.shape[1] > 1 else None,
        worst=(case, tuple(int(i) for i in worst)),
        constant=_is_constant(b),
    )


def _is_constant(items: np.ndarray) -> bool:
    """All items equal; of a single item: all its elements equal."""
    return bool(np.ptp(items, axis=0).max() == 0) if len(items) > 1 else bool(np.ptp(items) == 0)


def worst_of(found: list[Difference]) -> Difference:
    """The worst of each measure over the cases of one output."""
    furthest = max(found, key=lambda one: one.error)
    top1 = [one.top1 for one in found if one.top1 is not None]
    return dataclasses.replace(
        furthest,
        own_error=max(one.own_error for one in found),
        max_abs=max(one.max_abs for one in found),
        max_rel=max(one.max_rel for one in found),
        cosine=min(one.cosine for one in found),
        top1=min(top1) if top1 else None,
        constant=all(one.constant for one in found),
    )
