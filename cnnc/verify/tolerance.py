"""What tells rounding from a bug: the original's own rounding error, measured on the same inputs.

Let e0 be the error of the original in its own precision against the float64 oracle, and e1 that of the
artifact. A rewrite that is equal up to rounding keeps e1 near e0, whatever the network's depth or
conditioning; a wrong one does not. Accepted: e1 <= FACTOR * e0 + floor, where the floor is that of the
output's precision.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "FACTOR",
    "FLOOR",
    "accepts",
    "floor_of",
    "is_blind",
    "item_errors",
    "items_of",
    "relative_error",
    "scales_of",
]

# docs/verification.md has the measurements behind both.
FACTOR = 8.0
FLOOR = 2e-6  # float32: about 16 roundings; nets so short that e0 may happen to be 0
_FLOORS = {"float16": 1.6e-2, "float64": 1e-12}  # as many roundings; float64: the oracle's own
_BLIND = 5e3  # floors: an original that is itself that far from exact (1e-2 in float32) can show nothing equal
_WORST = 0.2  # of the magnitude, in any precision
_INTEGER_FLOOR = 1e-4  # of the elements: an index that flips between two near ties (argmax of a mask)


def floor_of(dtype: np.dtype) -> float:
    """The error that rounding alone may make in an output of this type."""
    return _INTEGER_FLOOR if dtype.kind not in "fc" else _FLOORS.get(dtype.name, FLOOR)


def accepts(error: float, own_error: float, dtype: np.dtype | None = None) -> bool:
    """True if an artifact's `error` is rounding, given the original's `own_error`; False for NaN and infinity.

    Where the original's own error is no rounding either, a multiple of it would allow anything: the floor alone.
    """
    dtype = dtype or np.dtype(np.float32)
    allowed = 0 if is_blind(own_error, dtype) else FACTOR * own_error
    return math.isfinite(error) and error <= allowed + floor_of(dtype)


def is_blind(own_error: float, dtype: np.dtype) -> bool:
    """True if the original is so far from exact in its own precision that nothing can be shown equal to it there."""
    return own_error > min(_BLIND * floor_of(dtype), _WORST)


def relative_error(actual: np.ndarray, exact: np.ndarray) -> float:
    """The largest error of any item, over the largest magnitude of that item's exact values.

    Items are slices of the first axis (the batch). Infinities must be equal and NaNs in the same places;
    where they are not the error is infinite. Shapes must be equal. Of integers (indices, masks) it is the share
    of elements that differ: how far apart two classes' numbers are means nothing.
    """
    if actual.size == 0:
        return 0.0
    if actual.dtype.kind not in "fc":
        return float(np.mean(actual != exact))
    return float(item_errors(actual, exact).max())


def item_errors(actual: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """(items,): `relative_error` of each item of floats on its own, beside the magnitudes of all."""
    rows, exact_rows = items_of(actual), items_of(exact)
    finite = np.isfinite(exact_rows)
    special = (rows == exact_rows) | (np.isnan(rows) & np.isnan(exact_rows))
    same = np.where(finite, np.isfinite(rows), special).all(axis=1)
    difference = np.abs(np.where(finite & np.isfinite(rows), rows - np.where(finite, exact_rows, 0.0), 0.0)).max(axis=1)
    return np.where(same, difference / scales_of(exact_rows), np.inf)


def scales_of(exact_items: np.ndarray) -> np.ndarray:
    """Each item's largest finite magnitude, but no less than a tenth of the items' (lower) median.

    An item of (nearly) nothing but zeros, such as a normalized constant, is rounding noise on its own scale.
    """
    finite = np.where(np.isfinite(exact_items), exact_items, 0.0)
    scale = np.abs(finite).max(axis=1)
    return np.asarray(np.maximum(scale, max(0.1 * float(np.quantile(scale, 0.5, method="lower")), 1e-30)))


def items_of(array: np.ndarray) -> np.ndarray:
    """(items, elements) in float64; an array of rank 0 or 1 is one item."""
    as_double = array.astype(np.float64)
    return as_double.reshape(array.shape[0], -1) if array.ndim > 1 else as_double.reshape(1, -1)
