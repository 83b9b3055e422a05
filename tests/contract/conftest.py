"""Each test draws the same weights, whatever ran before it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contract import graphs


@pytest.fixture(autouse=True)
def _same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_rng", np.random.default_rng(7))
