"""What tells rounding from a bug: the original's own rounding error, measured on the same inputs.

Let e0 be the error of the original in its own precision against the float64 oracle, and e1 that of the
artifact. A rewrite that is equal up to rounding keeps e1 near e0, whatever the network's depth or
conditioning; a wrong one does not. Accepted: e1 <= FACTOR * e0 + FLOOR.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["FACTOR", "FLOOR", "accepts", "relative_error"]

# docs/verification.md has the measurements behind both.
FACTOR = 8.0
FLOOR = 2e-6  # about 16 float32 roundings: nets so short that e0 may happen to be 0


def accepts(error: float, own_error: float) -> bool:
    """True if an artifact's `error` is rounding, given the original's `own_error`; False for NaN and infinity."""
    return math.isfinite(error) and error <= FACTOR * own_error + FLOOR


def relative_error(actual: np.ndarray, exact: np.ndarray) -> float:
    """The largest error of any item, over the largest magnitude of that item's exact values.

    Items are slices of the first axis (the batch). Infinities must be equal and NaNs in the same places;
    where they are not the error is infinite. Shapes must be equal.
    """
    if actual.size == 0:
        return 0.0
    rows, exact_rows = _rows(actual), _rows(exact)
    finite = np.isfinite(exact_rows)
    same = np.isfinite(rows) == finite
    special = np.where(finite, 0.0, exact_rows)
    if not same.all() or not np.array_equal(np.where(finite, 0.0, rows), special, equal_nan=True):
        return float("inf")
    difference = np.abs(np.where(finite, rows - np.where(finite, exact_rows, 0.0), 0.0)).max(axis=1)
    scale = np.abs(np.where(finite, exact_rows, 0.0)).max(axis=1)
    # An item of (nearly) nothing but zeros has no scale of its own: it is measured on the batch's.
    scale = np.maximum(scale, 1e-6 * max(float(scale.max()), 1e-30))
    return float((difference / scale).max())


def _rows(array: np.ndarray) -> np.ndarray:
    as_double = array.astype(np.float64)
    return as_double.reshape(array.shape[0], -1) if array.ndim > 1 else as_double.reshape(1, -1)
