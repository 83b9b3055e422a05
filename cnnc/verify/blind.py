"""Items on which the original's own precision shows nothing: there the artifact's graph is compared, in float64.

Normalizing a constant map divides the rounding of its mean by sqrt(epsilon), and a second normalization does so
again: exactly it is nothing, in float32 a hundredth of the output's magnitude, whoever rounds. Where the original is
that far from exact, neither its error nor the engine's says anything of the artifact; but the graph does, computed
with digits to spare. The other items are compared as ever, and each output needs some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cnnc.verify.tolerance import floor_of, is_blind, item_errors
from cnnc_runtime.errors import UnsupportedModelError, VerificationError

__all__ = ["BlindItems", "Graph"]

Feed = Mapping[str, np.ndarray]
Graph = Callable[[Feed], list[np.ndarray]]
"""Runs an artifact's graph in float64, not by the engine: a feed in, every output, in order."""


class BlindItems:
    """Settles such items of one artifact.

    Args:
        graph: the artifact's; None where there is none to run, and all items stay as they are.

    Attributes:
        settled: how many items were compared in float64.
    """

    def __init__(self, graph: Graph | None) -> None:
        self._graph = graph
        self._cached: tuple[int, list[np.ndarray]] | None = None
        self._open: dict[str, bool] = {}
        self.settled = 0

    def settle(
        self, name: str, index: int, feed: Feed, got: np.ndarray, own: np.ndarray, exact: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`got` and `own` to be compared with `exact`, equal to it at the items that are settled.

        Args:
            name, index: of the output.
            feed: what gave it.
            got, own, exact: the artifact's result, the original's in its own precision, and the exact one.
        """
        self._open.setdefault(name, True)
        if self._graph is None or own.dtype.kind != "f" or not got.shape == own.shape == exact.shape or not got.size:
            self._open[name] = False
            return got, own
        errors = item_errors(own, exact)
        blind = np.array([is_blind(float(error), own.dtype) for error in errors])
        limits = np.where(blind, floor_of(own.dtype) * np.maximum(errors, 1.0), np.inf)
        if not blind.any() or not np.isfinite([got, own]).all() or not self._is_right(index, feed, exact, limits):
            self._open[name] = False
            return got, own
        self._open[name] &= bool(blind.all())
        self.settled += int(blind.sum())
        rows = blind.reshape(-1, *[1] * (got.ndim - 1)) if got.ndim > 1 else blind
        return np.where(rows, exact, got).astype(got.dtype), np.where(rows, exact, own).astype(own.dtype)

    def require_others(self) -> None:
        """Nothing, unless every item of an output was settled in this way.

        Raises:
            VerificationError: that is so.
        """
        nothing = [name for name, is_open in self._open.items() if is_open]
        if nothing:
            raise VerificationError(
                f"output {nothing[0]!r}: the original itself is off by more than a hundredth of its magnitude on every "
                "input tried, so nothing can be shown equal to it in its own precision: give inputs on which it is "
                "exact, with --input-range or --verify-data"
            )

    def _is_right(self, index: int, feed: Feed, exact: np.ndarray, limits: np.ndarray) -> bool:
        """Whether the graph, in float64, is within the limit of each item.

        That is the floor of the original's precision, of the item's magnitude; where the exact item is nothing but
        float64's own rounding, of what the original makes of it.
        """
        outputs = self._outputs(feed)
        if outputs is None or index >= len(outputs) or outputs[index].shape != exact.shape:
            return False
        return bool((item_errors(outputs[index], exact) <= limits).all())

    def _outputs(self, feed: Feed) -> list[np.ndarray] | None:
        assert self._graph is not None
        if self._cached is None or self._cached[0] != id(feed):  # of the outputs of one run
            try:
                self._cached = id(feed), self._graph(feed)
            except UnsupportedModelError:  # an operator that has no float64 here
                return None
        return self._cached[1]
