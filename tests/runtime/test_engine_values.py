"""NaN and infinity among the inputs of the engine."""

import numpy as np
import pytest

from cnnc_runtime import load
from cnnc_runtime.errors import (
    InvalidInputError,
)
from tests.runtime.models import relu


@pytest.fixture(scope="module")
def engine():
    with load(relu(), device="cpu") as engine:
        yield engine


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 3, 32, 32)], ids=["small", "large"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_unless_allowed(shape, value):
    x = random(*shape)
    model = relu(("n", 3, "h", "w"))
    with load(model, device="cpu") as engine:
        engine.run(x)  # the fast path now knows this shape
        bad = x.copy()
        bad[0, 0, 0, 0] = value
        what = "1 NaN and 0 infinite" if np.isnan(value) else "0 NaN and 1 infinite"
        for call in (engine.run, lambda x: engine.run({"x": x})):
            with pytest.raises(InvalidInputError, match=f"input 'x' holds {what} values of {x.size}.*allow_nonfinite"):
                call(bad)
    with load(model, device="cpu", allow_nonfinite=True) as engine:
        np.testing.assert_array_equal(engine.run(bad), np.maximum(bad, 0))


def test_values_whose_squares_overflow_are_finite(engine, recwarn):
    x = np.full((1, 3, 8, 8), 3e38, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(engine.run(x), x)
    assert not recwarn.list
