"""Mean, variance and histogram of values that come in batches, in one pass and the same for any batch size."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["Bins", "Moments"]

_BINS = 32
_RESOLUTION = 20  # bits: no bin is narrower than 2^-20 of the largest magnitude
_SMALLEST = -1022  # exponent of float64's least normal number: the width for values that are all zero


class Moments:
    """Count, mean and sum of squared deviations in float64, of scalars or of each position of a vector.

    Batches are merged by Chan, Golub and LeVeque (Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979): unlike E[x^2] - E[x]^2, it does not cancel where the mean is large beside the deviation.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def update(self, x: np.ndarray) -> None:
        """Add a batch along the first axis of float64 `x`; the others are positions."""
        count = len(x)
        if count == 0:
            return
        mean = x.mean(axis=0)
        off = x - mean
        squares = np.dot(off, off) if off.ndim == 1 else np.square(off).sum(axis=0)
        total, apart = self.count + count, mean - self.mean
        self._squares = self._squares + squares + np.square(apart) * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """Of the population (divided by the count); NaN where there was nothing."""
        return self._squares / self.count if self.count else np.full_like(self._squares, np.nan)


class Bins:
    """A histogram whose bins widen as values come in.

    Bin i holds i*w <= x < (i+1)*w, and w is a power of two: the least for which 32 bins are enough. Then two bins
    of width w are exactly one of width 2w, so counts are merged without loss, and the result depends neither on
    the order of the values nor on the batches they came in. `low` and `high` are the least and largest value.
    """

    def __init__(self) -> None:
        self._exponent = _SMALLEST
        self._first = 0
        self._counts: np.ndarray = np.zeros(0, dtype=np.int64)
        self.low, self.high = math.inf, -math.inf

    def update(self, x: np.ndarray) -> None:
        """Count finite float64 values, of any shape."""
        if x.size == 0:
            return
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        exponent = _exponent(self.low, self.high, self._exponent)
        first, last = (math.floor(math.ldexp(edge, -exponent)) for edge in (self.low, self.high))
        counts = np.zeros(last - first + 1, dtype=np.int64)
        held = np.flatnonzero(self._counts)
        merged = [(self._first + int(i)) >> (exponent - self._exponent) for i in held]
        np.add.at(counts, np.array(merged, dtype=np.int64) - first, self._counts[held])
        index = np.floor(x.ravel() * math.ldexp(1, -exponent)).astype(np.int64)
        self._counts = counts + np.bincount(index - first, minlength=len(counts))
        self._exponent, self._first = exponent, first

    def result(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Counts of up to 32 bins, and their edges, one more; both empty where no value came."""
        if not len(self._counts):
            return (), ()
        with np.errstate(over="ignore"):  # the last edge may be 2^1024
            edges = np.ldexp(np.arange(len(self._counts) + 1, dtype=np.float64) + self._first, self._exponent)
        return tuple(int(n) for n in self._counts), tuple(float(edge) for edge in edges)


def _exponent(low: float, high: float, at_least: int) -> int:
    """The least exponent of the width with which 32 bins reach from `low` to `high`, and none is absurdly narrow."""
    largest = max(abs(low), abs(high))
    if largest == 0:
        return at_least
    exponent = max(at_least, math.frexp(largest)[1] - _RESOLUTION)
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= _BINS:
        exponent += 1
    return exponent
