"""The proof itself: run oracle, original and artifact on the same inputs, and compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnc.verify.blind import BlindItems, Graph
from cnnc.verify.certificate import Certificate, describe_inputs, hash_feeds
from cnnc.verify.compare import Difference, compare, worst_of
from cnnc.verify.heat_maps import HeatMaps, neighbors
from cnnc.verify.inputs import Case, Inputs, cases_for, frames_for, more_cases, resized
from cnnc.verify.oracle import Oracle
from cnnc.verify.sequence import FedBack
from cnnc_runtime.errors import CnncError, UnsupportedModelError, VerificationError
from cnnc_runtime.maps.explanation import Explanation

__all__ = ["Expected", "Reference", "refer", "verify"]

_REPEATS = 3  # a network with hidden state gives itself away by the third run

Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the original gives on one case: exactly, and in its own precision; and near it, where a heat map jumps."""

    case: Case
    exact: list[np.ndarray]
    original: list[np.ndarray]
    near: Sequence[Expected] = ()


@dataclasses.dataclass(frozen=True)
class Reference:
    """The truth that artifacts are compared with; the oracle itself need not be kept.

    Attributes:
        oracle: what it was.
        inputs, seed: what the cases were made from.
        expected: a result per case.
        unproved_axes: open axes (no batch) for which the original took no other size.
        sequence: of a step function, a result per frame, in a row.
        explanation: of its heat map, if it has one.
    """

    oracle: str
    inputs: Inputs
    seed: int
    expected: list[Expected]
    unproved_axes: tuple[str, ...]
    sequence: Sequence[Expected] = ()
    explanation: Explanation | None = None


def refer(
    oracle: Oracle,
    inputs: Inputs,
    seed: int,
    samples: Sequence[Case] = (),
    explanation: Explanation | None = None,
) -> Reference:
    """Run the original on every case, before the artifact exists: the oracle's memory is free by then.

    Args:
        oracle: the original.
        inputs: what it takes.
        seed: of the random numbers.
        samples: the user's own data, compared as well.
        explanation: of its heat map, if it has one.

    Raises:
        UnsupportedModelError: the original answers differently to the same input, or with NaN to every input.
    """
    expected = [_expected(oracle, case) for case in (*cases_for(inputs, seed), *samples)]
    _refuse_no_function(oracle, expected[0])
    _refuse_never_finite(expected)
    if _has_constant_output(expected):  # equal constants prove nothing: try what may move them
        expected += [_expected(oracle, case) for case in more_cases(inputs, seed)]
    unproved = []
    for symbol in inputs.other_symbols():
        found = _accepted(oracle, inputs, symbol, seed)
        expected += found
        if not found:
            unproved.append(symbol)
    if explanation is not None and not explanation.is_smooth:
        expected = [_with_near(oracle, inputs, seed, one) for one in expected]
    in_a_row = _in_a_row(oracle, inputs, seed)
    return Reference(oracle.description, inputs, seed, expected, tuple(unproved), in_a_row, explanation)


def verify(
    reference: Reference, run: Run, *, device: str, provider: str, optimization: str, graph: Graph | None = None
) -> Certificate:
    """Show that `run` equals the original on every case.

    Args:
        reference: the original's results; the first case is run three times, to catch state between calls.
        run: the artifact, on the engine that will serve it: feed in, outputs by name, in order.
        device, provider, optimization: recorded.
        graph: the artifact's graph in float64, for items on which the original's own precision shows nothing. (A heat
            map has a way of its own; and what is fed back is the engine's.)

    Raises:
        VerificationError: an output's number, shape, type or values differ by more than rounding, or an open
            axis was baked in.
    """
    found: dict[str, list[Difference]] = {}
    maps = HeatMaps(reference.explanation)
    blind = BlindItems(graph if reference.explanation is None else None)
    for index, one in enumerate(reference.expected):
        for _ in range(_REPEATS if index == 0 else 1):
            for difference in _differences(one, run, maps, blind):
                found.setdefault(difference.output, []).append(difference)
    step = FedBack(run, reference.inputs.states)
    for one in reference.sequence:
        for difference in _differences(one, step, maps, BlindItems(None)):
            found.setdefault(difference.output, []).append(difference)
    maps.require_some()
    blind.require_others()
    cases = [one.case for one in (*reference.expected, *reference.sequence)]
    return Certificate(
        oracle=reference.oracle,
        device=device,
        provider=provider,
        optimization=optimization,
        seed=reference.seed,
        cases=tuple(case.label for case in cases),
        inputs=describe_inputs(reference.inputs),
        inputs_hash=hash_feeds(cases),
        differences=tuple(worst_of(every) for every in found.values()),
        unproved_axes=reference.unproved_axes,
        undecided=maps.undecided,
        in_float64=blind.settled,
    )


def _differences(one: Expected, run: Run, maps: HeatMaps, blind: BlindItems) -> list[Difference]:
    outputs = _outputs(one, run)
    here, *near = (
        (each.case.feed, list(got.values()), each.original, each.exact)
        for each, got in [(one, outputs), *((each, _outputs(each, run)) for each in one.near)]
    )
    runs = maps.comparable(list(outputs), here, near)
    differences = []
    for index, (name, got, own, exact) in enumerate(zip(outputs, *runs, strict=True)):
        got, own = blind.settle(name, index, one.case.feed, got, own, exact)
        differences.append(compare(name, one.case.label, got, own, exact))
    return differences


def _outputs(one: Expected, run: Run) -> Mapping[str, np.ndarray]:
    try:
        outputs = run(one.case.feed)
    except CnncError as error:
        if one.case.axis is None:
            raise VerificationError(f"the artifact fails on {one.case.label}: {error}") from error
        raise VerificationError(
            f"axis {one.case.axis!r} was baked in: the artifact fails on {one.case.label}, which the original takes: "
            f"{error}"
        ) from error
    if len(outputs) != len(one.exact):
        raise VerificationError(f"the artifact has {len(outputs)} outputs, the original {len(one.exact)}")
    return outputs


def _with_near(oracle: Oracle, inputs: Inputs, seed: int, one: Expected) -> Expected:
    near = [_expected(oracle, case) for case in neighbors(one.case, inputs, seed)]
    return dataclasses.replace(one, near=near)


def _expected(oracle: Oracle, case: Case) -> Expected:
    return Expected(case, oracle.exact(case.feed), oracle.original(case.feed))


def _in_a_row(oracle: Oracle, inputs: Inputs, seed: int) -> list[Expected]:
    """Frames with states fed back: in float64 those of float64, in its own precision its own."""
    exact, original = FedBack(oracle.exact, inputs.states), FedBack(oracle.original, inputs.states)
    return [Expected(case, exact(case.feed), original(case.feed)) for case in frames_for(inputs, seed)]


def _refuse_no_function(oracle: Oracle, first: Expected) -> None:
    for before, again in zip(first.original, oracle.original(first.case.feed), strict=True):
        if not np.array_equal(before, again, equal_nan=before.dtype.kind in "fc"):
            raise UnsupportedModelError(
                "the network gives another result for the same input: it draws random numbers or keeps state from "
                "call to call, so nothing can be shown equal to it"
            )


def _refuse_never_finite(expected: Sequence[Expected]) -> None:
    for index in range(len(expected[0].original)):
        values = [one.original[index] for one in expected if one.original[index].dtype.kind == "f"]
        if values and not any(np.isfinite(array).any() for array in values):
            raise UnsupportedModelError(
                f"output {index} is NaN or infinity for every input tried: the weights are damaged, or were never set"
            )


def _accepted(oracle: Oracle, inputs: Inputs, symbol: str, seed: int) -> list[Expected]:
    """The first two other sizes of an axis that the original itself runs at (a U-Net takes multiples of 16 only).

    Two, since a size that was baked in may happen to do for one more: pooling 8 or 9 places into 3.
    """
    found: list[Expected] = []
    for case in resized(inputs, symbol, seed):
        try:
            original = oracle.original(case.feed)
        except Exception:  # whatever the user's code or its engine raises: it does not take this size
            continue
        found.append(Expected(case, oracle.exact(case.feed), original))
        if len(found) == 2:
            break
    return found


def _has_constant_output(expected: Sequence[Expected]) -> bool:
    def moves(values: Sequence[Any]) -> bool:
        items = [item.reshape(-1) for array in values for item in (array if array.ndim > 1 else array[None])]
        return any(item.shape != items[0].shape or not np.array_equal(item, items[0]) for item in items[1:])

    return any(not moves(values) for values in zip(*(one.original for one in expected), strict=True))
