"""One layer's statistics, gathered batch by batch; no activation outlives its batch."""

from __future__ import annotations

import numpy as np

from cnnc.analysis.activations.moments import Bins, Moments
from cnnc.analysis.activations.result import Histogram, LayerActivations
from cnnc.analysis.activations.sites import Site

__all__ = ["Accumulator"]

_FOLLOWED = 1024  # elements whose variance over the samples is measured: two float64 each, whatever the layer's size
_CACHED = 2**17  # elements, 1 MB in float64
_EQUAL = 1e-5  # of the layer's largest magnitude: equal weights, summed in another order, differ by less


class Accumulator:
    """The statistics of one `Site` so far.

    Args:
        site: the layer.
        shape: of its output for one sample.
        seed: of the choice of followed elements, where there are more than 1024.
    """

    def __init__(self, site: Site, shape: tuple[int, ...], seed: int) -> None:
        self.site = site
        self.shape = shape
        size = int(np.prod(shape, dtype=np.int64))
        rng = np.random.default_rng(seed)
        self._followed = np.sort(rng.choice(size, min(size, _FOLLOWED), replace=False, shuffle=False))
        self._axis = (site.channel_axis % (len(shape) + 1)) if shape else 0
        self._values, self._samples, self._bins = Moments(), Moments(), Bins()
        self._count = self._nonfinite = self._zeros = self._flat = 0
        self._spread = 0.0
        self._active: np.ndarray = np.zeros(shape, dtype=np.bool_)

    def fits(self, batch: np.ndarray, count: int) -> bool:
        """Whether `batch` holds `count` samples of this layer's shape."""
        return batch.shape == (count, *self.shape)

    def update(self, batch: np.ndarray) -> None:
        """Add outputs (N, *shape), a part at a time that a core's cache holds: several passes go over each."""
        step = max(1, _CACHED // max(1, self._active.size))
        for start in range(0, len(batch), step):
            self._add(batch[start : start + step].astype(np.float64))

    def _add(self, x: np.ndarray) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            values = x.ravel() if np.isfinite(x.sum()) else x[np.isfinite(x)]
            self._count += x.size
            self._nonfinite += x.size - values.size
            self._zeros += values.size - int(np.count_nonzero(values))
            self._values.update(values)
            self._bins.update(values)
            self._samples.update(x.reshape(len(x), -1)[:, self._followed])
            self._spread = max(self._spread, self._spread_of(x))
        if self.site.rectifies:
            self._active |= (x > 0).any(axis=0)
        if self.site.saturation is not None:
            low, high = self.site.saturation
            self._flat += int(np.count_nonzero(values <= low)) + int(np.count_nonzero(values >= high))

    def _spread_of(self, x: np.ndarray) -> float:
        """The largest difference between units at one position; a lower bound where that shows them different."""
        if self._units() < 2:
            return 0.0
        pair = x.take(1, axis=self._axis) - x.take(0, axis=self._axis)
        difference = float(np.abs(pair).max())
        if difference > 1e3 * _EQUAL * self._largest:
            return difference
        return float((x.max(axis=self._axis) - x.min(axis=self._axis)).max())

    @property
    def _largest(self) -> float:
        return max(abs(self._bins.low), abs(self._bins.high)) if self._count > self._nonfinite else 0.0

    def result(self) -> LayerActivations:
        """The record of all batches; its probe is still None."""
        site, finite = self.site, self._count - self._nonfinite
        counts, edges = self._bins.result()
        dead = ~self._active
        units = self._units()
        nan = float("nan")
        largest = self._largest
        return LayerActivations(
            name=site.name,
            op=site.op,
            kind=site.kind,
            depth=site.depth,
            shape=self.shape,
            mean=float(self._values.mean) if finite else nan,
            variance=float(self._values.variance),
            sample_variance=float(self._samples.variance.mean()),
            sample_share=self._sample_share(),
            minimum=self._bins.low if finite else nan,
            maximum=self._bins.high if finite else nan,
            zeros=self._zeros / finite if finite else nan,
            units=units,
            elements=dead.size,
            dead_units=self._dead_units(dead) if site.rectifies else None,
            dead_elements=int(np.count_nonzero(dead)) if site.rectifies else None,
            saturated=None if site.saturation is None else self._flat / finite if finite else nan,
            decides=site.decides,
            symmetric=bool(units > 1 and not self._nonfinite and largest > 0 and self._spread <= _EQUAL * largest),
            nonfinite=self._nonfinite,
            histogram=Histogram(counts, edges),
        )

    def _sample_share(self) -> float:
        """The median, so that a few units with a large bias do not speak for all; units that are off say nothing."""
        variance = self._samples.variance
        square = variance + np.square(self._samples.mean)
        alive = square > 0
        return float(np.median(np.sqrt(variance[alive] / square[alive]))) if alive.any() else 0.0

    def _units(self) -> int:
        return self.shape[self._axis - 1] if self._axis else 1

    def _dead_units(self, dead: np.ndarray) -> int:
        """A unit is dead where all its elements are."""
        others = tuple(axis for axis in range(dead.ndim) if axis != self._axis - 1)
        return int(np.count_nonzero(dead.all(axis=others)))
