"""The proof itself: run oracle, original and artifact on the same inputs, and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnc.verify.inputs import Case
from cnnc.verify.oracle import Oracle
from cnnc.verify.tolerance import FACTOR, FLOOR, accepts, relative_error
from cnnc_runtime.errors import VerificationError

__all__ = ["Certificate", "Expected", "expectations", "verify"]

_REPEATS = 3  # a network with hidden state gives itself away by the third run


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What was shown, for one artifact: on which inputs, how far from exact, against what limit."""

    oracle: str
    provider: str
    seed: int
    cases: tuple[str, ...]
    error: float
    """Largest error of the artifact against the float64 oracle, relative to the output's magnitude."""
    own_error: float
    """The same for the original in its own precision."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the artifact's metadata, the limit included."""
        return {**dataclasses.asdict(self), "factor": FACTOR, "floor": FLOOR}


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the original gives on one case: exactly, and in its own precision."""

    case: Case
    exact: list[np.ndarray]
    original: list[np.ndarray]


def expectations(oracle: Oracle, cases: Sequence[Case]) -> list[Expected]:
    """Run the original on every case. Done before the artifact exists: the oracle's memory is free by then."""
    return [Expected(case, oracle.exact(case.feed), oracle.original(case.feed)) for case in cases]


def verify(
    expected: Sequence[Expected],
    run: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
    *,
    oracle: str,
    provider: str,
    seed: int,
) -> Certificate:
    """Show that `run` equals the original on every case.

    Args:
        expected: the original's results; the first case is run three times, to catch state between calls.
        run: the artifact, on the engine that will serve it: feed in, outputs by name, in order.
        oracle, provider, seed: recorded.

    Raises:
        VerificationError: an output's number, shape, type or values differ by more than rounding.
    """
    worst, worst_own = 0.0, 0.0
    for index, one in enumerate(expected):
        for _ in range(_REPEATS if index == 0 else 1):
            outputs = run(one.case.feed)
            if len(outputs) != len(one.exact):
                raise VerificationError(f"the artifact has {len(outputs)} outputs, the original {len(one.exact)}")
            for (name, got), own, truth in zip(outputs.items(), one.original, one.exact, strict=True):
                error, own_error = _compare(name, one.case.label, got, own, truth)
                worst, worst_own = max(worst, error), max(worst_own, own_error)
    return Certificate(
        oracle=oracle,
        provider=provider,
        seed=seed,
        cases=tuple(one.case.label for one in expected),
        error=worst,
        own_error=worst_own,
    )


def _compare(name: str, label: str, got: np.ndarray, own: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The artifact's error and the original's; raises VerificationError where they tell a bug."""
    where = f"output {name!r} on {label}"
    if got.shape != own.shape:
        raise VerificationError(f"{where}: the artifact gives shape {got.shape}, the original {own.shape}")
    if got.dtype != own.dtype:
        raise VerificationError(f"{where}: the artifact gives {got.dtype}, the original {own.dtype}")
    # Where the original overflows in its own precision, its infinity or NaN is the result to equal.
    truth = np.where(np.isfinite(own), truth, own)
    error, own_error = relative_error(got, truth), relative_error(own, truth)
    if not accepts(error, own_error):
        raise VerificationError(
            f"{where}: the artifact is off by {error:.1e} of the output's magnitude, the original by "
            f"{own_error:.1e} only: this is no rounding. Nothing was written"
        )
    return error, own_error
