"""The inputs of a proof: seeded, adversarial, inside declared ranges, at sizes that were never traced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.verify.inputs import Inputs, cases_for, resized
from cnnc.verify.samples import read_samples
from cnnc_runtime.errors import InvalidInputError

EXAMPLES = {"x": np.zeros((2, 3, 12, 12), np.float32)}
OPEN = Inputs(EXAMPLES, {"x": {0: "batch"}}, frozenset({"batch"}))


def test_cases_are_seeded_and_cover_sign_scale_spike_and_batch() -> None:
    first, again = (cases_for(OPEN, seed=4) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.feed["x"], b.feed["x"])
    assert [len(case.feed["x"]) for case in first] == [2, 6, 1]
    noise, negative, positive, zeros, large, spike = first[1].feed["x"]
    assert noise.min() < 0 < noise.max() and negative.max() < 0 < positive.min()
    assert not zeros.any() and np.abs(large).max() > 1e4
    assert np.count_nonzero(np.abs(spike) > 1) == 1 and np.unique(spike).size == spike.size


def test_fixed_shapes_are_kept() -> None:
    assert [case.feed["x"].shape for case in cases_for(Inputs(EXAMPLES), seed=4)] == [(2, 3, 12, 12)] * 6


def test_a_declared_range_holds_every_value() -> None:
    inputs = Inputs(EXAMPLES, OPEN.axes, OPEN.batch, {"x": (-0.5, 2.0)})
    for case in cases_for(inputs, seed=0):
        assert case.feed["x"].min() >= -0.5 and case.feed["x"].max() <= 2.0
    assert cases_for(inputs, seed=0)[0].feed["x"].std() > 0.5


def test_indices_keep_values_that_are_valid() -> None:
    inputs = Inputs({"i": np.array([3, 5])}, {"i": {0: "batch"}}, frozenset({"batch"}))
    for case in cases_for(inputs, seed=0):
        assert set(case.feed["i"]) <= {3, 5}


def test_equal_symbols_are_resized_together() -> None:
    two = {"a": np.zeros((1, 2, 8), np.float32), "b": np.zeros((1, 8), np.float32)}
    inputs = Inputs(two, {"a": {2: "length"}, "b": {1: "length"}})
    case = next(iter(resized(inputs, "length", seed=0)))
    assert case.feed["a"].shape == (1, 2, 9) and case.feed["b"].shape == (1, 9)


def test_samples_are_batched_where_the_batch_is_open(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((18, 3, 12, 12), np.float32))
    sizes = [len(case.feed["x"]) for case in read_samples([tmp_path / "x.npy"], OPEN, None)]
    assert sizes == [16, 2]
    fixed = read_samples([tmp_path / "x.npy"], Inputs(EXAMPLES), None)
    assert [len(case.feed["x"]) for case in fixed] == [2] * 9


def test_samples_outside_the_declared_range_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 3, 12, 12), 9, np.float32))
    inputs = Inputs(EXAMPLES, OPEN.axes, OPEN.batch, {"x": (0.0, 1.0)})
    with pytest.raises(InvalidInputError, match="values from 9 to 9, outside the declared range 0 to 1"):
        read_samples([tmp_path / "x.npy"], inputs, None)
