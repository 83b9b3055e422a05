"""The harness itself: what its comparator lets pass, and what not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnnc_runtime.errors import UnsupportedModelError, VerificationError
from tests.cases.harness import assert_equal, check_module, check_proto, right_or_refused
from tests.contract.graphs import model, node

EXACT = np.array([[1.0, -2.0, 3.0], [np.inf, -np.inf, 4.0]])
OWN = EXACT.astype(np.float32)


def changed(row: int, column: int, value: float) -> np.ndarray:
    array = OWN.copy()
    array[row, column] = value
    return array


def test_equal_infinities_and_rounding_are_equal() -> None:
    assert_equal(OWN, OWN, EXACT, "y")
    assert_equal(changed(0, 2, np.nextafter(np.float32(3), np.float32(4))), OWN, EXACT, "y")


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (OWN[:, :2], "shapes"),
        (OWN.astype(np.float64), "types"),
        (changed(0, 0, np.nan), "a NaN of our own"),
        (changed(1, 0, np.nan), "a NaN of our own"),
        (changed(1, 0, -np.inf), "off by inf"),
        (changed(1, 0, 3e38), "off by inf"),
        (changed(0, 2, np.inf), "off by inf"),
        (changed(0, 0, 1.0001), "off by 3"),
    ],
)
def test_anything_else_is_a_failure(got: np.ndarray, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_equal(got, OWN, EXACT, "y")


def test_original_that_is_wrong_itself_is_no_measure() -> None:
    with pytest.raises(AssertionError, match="the original is off"):
        assert_equal(changed(0, 0, 1.5), changed(0, 0, 1.5), EXACT, "y")


def test_constant_output_proves_nothing() -> None:
    class Zero(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0

    with pytest.raises(AssertionError, match="constant"):
        check_module(Zero(), torch.zeros(1, 3))


def test_artifact_is_held_to_the_truth_that_is_given(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], {"x": ("n", 3)})
    with pytest.raises(AssertionError, match="the original is off"):
        check_proto(proto, lambda x: torch.relu(x) * 1.01, folder=tmp_path)


def test_refusal_of_another_kind_or_for_another_reason_is_a_failure() -> None:
    def refuse() -> None:
        raise VerificationError("off by a mile")

    right_or_refused(refuse, UnsupportedModelError, VerificationError, match="mile")
    with pytest.raises(AssertionError, match="VerificationError: off by a mile"):
        right_or_refused(refuse, UnsupportedModelError, match="mile")
    with pytest.raises(AssertionError, match="off by a mile"):
        right_or_refused(refuse, VerificationError, match="inch")
