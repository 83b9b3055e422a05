"""What of a heat map can be compared, where its own definition leaves something for rounding to decide.

The top class: where the two best scores are equal up to rounding, float64, the original's precision and the engine
may each explain another class. The scores are compared, and found equal; such an item's heat maps are left out.

The derivative: it jumps where a ReLU's input crosses zero, or another place wins a maximum. With a hundred thousand
units between layer and score there is often one so near that rounding decides, and the whole map moves, by up to a
hundredth of its magnitude. A map that is right is right almost everywhere: so an item that is off is compared at
neighbors, moved by a thousandth, where other units are near. What is wrong is off at all of them. Likewise the
original's own error is the largest of the neighbors'. Where that is a jump itself, and the artifact is off at every
neighbor, the item is left out: in the original's own precision it has no heat map to equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnc.verify.inputs import Case, Inputs
from cnnc.verify.tolerance import accepts, items_of, scales_of
from cnnc_runtime.errors import VerificationError
from cnnc_runtime.maps.explanation import Explanation

__all__ = ["HeatMaps", "Run", "neighbors"]

_NEIGHBORS = 3
_JUMP = 1e-3  # of the magnitude: more than rounding makes of a map while no unit changes sides
_MOVE = 1e-3  # of an item's magnitude: no unit that is within rounding of its kink is so after it

Run = tuple[Mapping[str, np.ndarray], Sequence[np.ndarray], Sequence[np.ndarray], Sequence[np.ndarray]]
"""A feed, and its outputs: the artifact's, the original's in its own precision, and the exact ones."""


def neighbors(case: Case, inputs: Inputs, seed: int) -> list[Case]:
    """Feeds near that of `case`: floats moved by noise, bytes by one, inside their ranges; other inputs as they are."""
    rng = np.random.default_rng([seed, 3])
    return [
        Case(case.label, {name: _moved(name, x, inputs, rng) for name, x in case.feed.items()}, case.axis)
        for _ in range(_NEIGHBORS)
    ]


def _moved(name: str, x: np.ndarray, inputs: Inputs, rng: np.random.Generator) -> np.ndarray:
    if name in inputs.images:
        return np.asarray(np.clip(x.astype(np.int16) + rng.integers(-1, 2, x.shape), 0, 255), x.dtype)
    if x.dtype.kind != "f":
        return x
    rms = np.sqrt(np.mean(x.astype(np.float64) ** 2, axis=tuple(range(1, x.ndim)), keepdims=True))
    low, high = inputs.ranges.get(name, (-np.inf, np.inf))
    moved: np.ndarray = np.clip(x + _MOVE * rms * rng.standard_normal(x.shape), low, high)
    return moved.astype(x.dtype)


class HeatMaps:
    """Makes heat maps comparable, item by item.

    Args:
        explanation: says which output the scores are, and which input asks for a class; None for no heat map.

    Attributes:
        undecided: how many items were left out, or compared at a neighbor.
    """

    def __init__(self, explanation: Explanation | None) -> None:
        self._explanation = explanation
        self.undecided = self._compared = 0

    def comparable(self, names: Sequence[str], run: Run, near: Sequence[Run] = ()) -> list[list[np.ndarray]]:
        """The outputs of `run` (the artifact's, the original's, the exact ones), the heat map as it can be compared.

        Args:
            names: of the outputs, in order.
            run: on the case. Where shapes differ, all stays: that is for others to say.
            near: on its neighbors.
        """
        results = [list(outputs) for outputs in run[1:]]
        one = self._explanation
        if one is None or one.output not in names or one.score not in names:
            return results
        heat, score = list(names).index(one.output), list(names).index(one.score)
        if any(outputs[i].shape != results[0][i].shape for outputs in results for i in (heat, score)):
            return results
        runs = [run, *near]
        decided = np.array([_agreed(one, score, *each) for each in runs])
        chosen = [_choose([each[1:] for each in runs], heat, i, decided[:, i]) for i in range(decided.shape[1])]
        self.undecided += sum(which != 0 for which, _ in chosen)
        rows = [row for which, row in chosen if which is not None]
        self._compared += len(rows)
        for index, outputs in enumerate(results):
            like = outputs[heat]
            outputs[heat] = np.array([row[index] for row in rows], like.dtype).reshape(len(rows), *like.shape[1:])
        return results

    def require_some(self) -> None:
        """Nothing, unless every heat map was left out.

        Raises:
            VerificationError: that is so.
        """
        if self.undecided and not self._compared:
            raise VerificationError(
                "rounding decides the heat map of every input tried: the two best scores are equal up to rounding "
                "(ask for classes, --explain-class input), or the derivative jumps (name a layer nearer to the score)"
            )


def _triple(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    got, own, exact = arrays
    return got, own, exact


def _agreed(one: Explanation, score: int, feed: Mapping[str, np.ndarray], *runs: Sequence[np.ndarray]) -> np.ndarray:
    """Per item, whether all explain the same class."""
    tops = [np.argmax(outputs[score], axis=1) for outputs in runs]
    agreed = np.all([top == tops[0] for top in tops], axis=0)
    return np.asarray(agreed if one.class_input is None else agreed | (feed[one.class_input] >= 0))


def _choose(
    runs: Sequence[Sequence[Sequence[np.ndarray]]], heat: int, item: int, decided: np.ndarray
) -> tuple[int | None, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """At which of the runs an item is compared (None: at none), and its maps there, with an own error to allow for."""
    maps = [_triple([outputs[heat][item].astype(np.float64) for outputs in each]) for each in runs]
    usable = [i for i in range(len(runs)) if decided[i] and all(np.isfinite(x).all() for x in maps[i])]
    if decided[0] and 0 not in usable:  # infinity or NaN is to be compared as such
        return 0, maps[0]
    if not usable:
        return None, maps[0]
    scales = {i: float(scales_of(items_of(runs[i][2][heat]))[item]) for i in usable}
    errors, own = ({i: _off(maps[i][side], maps[i][2]) / scales[i] for i in usable} for side in (0, 1))
    worst, least = max(usable, key=own.__getitem__), min(usable, key=own.__getitem__)
    jumps = own[worst] > _JUMP
    allowed, best = least if jumps else worst, min(usable, key=errors.__getitem__)
    dtype = runs[0][0][heat].dtype
    if jumps and not accepts(errors[best], own[allowed], dtype):
        return None, maps[0]
    if 0 in usable and accepts(errors[0], own[allowed], dtype):
        best = 0
    (got, _, exact), rounding = maps[best], maps[allowed][1] - maps[allowed][2]
    return best, (got, exact + rounding * (scales[best] / scales[allowed]), exact)


def _off(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())
