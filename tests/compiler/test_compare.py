"""One output beside the exact one: what is measured, and what fails."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.verify.compare import compare, worst_of
from cnnc.verify.tolerance import accepts, relative_error
from cnnc_runtime.errors import VerificationError

EXACT = np.array([[1.0, 2.0, 4.0], [8.0, 4.0, 0.5]])
OWN = EXACT.astype(np.float32)


def test_what_is_measured() -> None:
    got = OWN.copy()
    got[1, 0] = np.nextafter(np.float32(8), np.float32(9))
    found = compare("y", "noise", got, OWN, EXACT)
    step = float(got[1, 0]) - 8
    assert (found.max_abs, found.error, found.max_rel) == pytest.approx((step, step / 8, step / 8))
    assert found.worst == ("noise", (1, 0)) and found.top1 == 1 and found.cosine == pytest.approx(1)
    assert not found.constant
    other = compare("y", "spike", OWN, OWN, EXACT)
    assert worst_of([other, found]).worst == ("noise", (1, 0))


def test_new_nan_fails_and_old_nan_is_the_result_to_equal() -> None:
    nan, exact = OWN.copy(), EXACT.copy()
    nan[0, 0] = np.nan
    with pytest.raises(VerificationError, match="NaN or infinity where the original has none"):
        compare("y", "noise", nan, OWN, EXACT)
    exact[0, 0] = np.nan
    compare("y", "noise", nan, nan, exact)
    with pytest.raises(VerificationError):
        compare("y", "noise", OWN, nan, exact)


@pytest.mark.parametrize(("dtype", "off"), [(np.float16, 3e-2), (np.float32, 4e-6)])
def test_the_floor_is_that_of_the_type(dtype: type, off: float) -> None:
    own = EXACT.astype(dtype)
    compare("y", "noise", (own * (1 + dtype(off / 4))).astype(dtype), own, EXACT)
    with pytest.raises(VerificationError, match="no rounding"):
        compare("y", "noise", (own * (1 + dtype(off))).astype(dtype), own, EXACT)


def test_indices_must_be_equal_but_for_ties_that_flip() -> None:
    exact = np.arange(20_000) % 7
    flipped, wrong = exact.copy(), exact.copy()
    flipped[5] += 1
    wrong[:200] += 1
    compare("mask", "noise", flipped, exact, exact)
    with pytest.raises(VerificationError):
        compare("mask", "noise", wrong, exact, exact)
    assert relative_error(np.array([10**7 + 1]), np.array([10**7])) == 1  # not a rounding of a large number


def test_an_empty_output_equals_itself() -> None:
    assert compare("y", "noise", OWN[:0], OWN[:0], EXACT[:0]).error == 0


def test_special_values() -> None:
    inf, nan = np.array([[np.inf, 1.0]]), np.array([[np.nan, 1.0]])
    assert relative_error(inf, inf) == 0 and relative_error(nan, nan) == 0
    assert relative_error(nan, inf) == np.inf
    assert relative_error(-inf, inf) == np.inf
    assert relative_error(nan, np.array([[1.0, 1.0]])) == np.inf
    assert relative_error(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert not accepts(float("nan"), 1.0) and not accepts(float("inf"), 1e-7)
