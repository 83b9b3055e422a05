"""Which heat maps a proof compares: not those that rounding decides."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.verify.heat_maps import HeatMaps, neighbors
from cnnc.verify.inputs import Case, Inputs
from cnnc_runtime.errors import VerificationError
from cnnc_runtime.maps.explanation import Explanation


def test_a_top_class_that_rounding_decides_is_left_out_and_counted() -> None:
    said = Explanation("cam", "a", "heat", "score", 2, class_input="asked")
    score, heat = np.array([[1.0, 0], [0, 1], [0, 1]]), np.arange(12.0).reshape(3, 2, 2)
    other = score.copy()
    other[1] = [1 + 1e-9, 1]
    maps, names, asked = HeatMaps(said), ["score", "heat"], np.array([-1, -1, 0])
    runs = maps.comparable(names, ({"asked": asked}, [score, heat], [score, heat], [other, heat]))
    assert [run[1].tolist() for run in runs] == [heat[[0, 2]].tolist()] * 3 and maps.undecided == 1
    maps.require_some()
    never, got, exact = HeatMaps(said), [score[1:2], heat[1:2]], [other[1:2], heat[1:2]]
    never.comparable(names, ({"asked": asked[1:2]}, got, got, exact))
    with pytest.raises(VerificationError, match="the two best scores are equal"):
        never.require_some()


def test_a_derivative_that_rounding_decides_is_compared_at_a_neighbor() -> None:
    said = Explanation("gradcam", "a", "heat", "score", 2, is_smooth=False)
    score = np.array([[1.0, 0], [0, 1], [0, 1]], np.float32)
    exact = np.arange(1.0, 13).reshape(3, 2, 2)
    jumps, own = exact.copy(), exact * (1 + 1e-7)
    jumps[1] *= 1.01
    here = ({}, [score, jumps.astype(np.float32)], [score, own.astype(np.float32)], [score, exact])
    near = ({}, [score, 2 * exact.astype(np.float32)], [score, 2 * own.astype(np.float32)], [score, 2 * exact])
    maps = HeatMaps(said)
    got, originals, wide = (run[1] for run in maps.comparable(["score", "heat"], here, [near]))
    np.testing.assert_allclose(got, exact * np.array([1, 2, 1])[:, None, None], rtol=1e-6)
    np.testing.assert_allclose(got, wide, rtol=1e-6)
    assert maps.undecided == 1 and originals.dtype == np.float32
    wrong = ({}, [score, 2.02 * exact.astype(np.float32)], *near[2:])
    got, _, wide = (run[1] for run in HeatMaps(said).comparable(["score", "heat"], here, [wrong]))
    assert np.abs(got[1] / wide[1] - 1).min() > 5e-3


def test_neighbors_stay_in_their_ranges() -> None:
    x, pixels, classes = np.ones((2, 3), np.float32), np.array([[0, 255, 7]], np.uint8), np.array([-1])
    inputs = Inputs({}, ranges={"x": (0.0, 1.0)}, images=frozenset({"p"}))
    moved = neighbors(Case("noise", {"x": x, "p": pixels, "c": classes}), inputs, 0)
    assert len({case.feed["x"].tobytes() for case in moved}) == len(moved) > 1
    for case in moved:
        assert case.feed["x"].max() <= 1 and 0 < np.abs(case.feed["x"] - x).max() < 0.01
        assert case.feed["x"].dtype == np.float32 and case.feed["p"].dtype == np.uint8
        assert np.abs(case.feed["p"].astype(int) - pixels).max() <= 1
        np.testing.assert_array_equal(case.feed["c"], classes)


def test_an_item_where_the_original_itself_jumps_is_left_out_if_the_artifact_agrees_nowhere() -> None:
    said = Explanation("gradcam", "a", "heat", "score", 2, is_smooth=False)
    score, exact = np.array([[1.0, 0], [0, 1]], np.float32), np.ones((2, 2, 2))
    jumps = exact.astype(np.float32)
    jumps[0] *= 1.05
    run = ({}, [score, jumps], [score, jumps], [score, exact])
    maps = HeatMaps(said)
    got = maps.comparable(["score", "heat"], run, [run])
    assert [one[1].shape for one in got] == [(1, 2, 2)] * 3 and maps.undecided == 1
    maps.require_some()


def test_infinity_stays_to_be_compared() -> None:
    said = Explanation("gradcam", "a", "heat", "score", 2)
    score, heat = np.array([[1.0, 0]], np.float32), np.full((1, 2, 2), np.inf, np.float32)
    run = ({}, [score, np.ones_like(heat)], [score, heat], [score, heat])
    assert [one[1][0, 0, 0] for one in HeatMaps(said).comparable(["score", "heat"], run)] == [1, np.inf, np.inf]
