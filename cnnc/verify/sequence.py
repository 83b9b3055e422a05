"""Step functions run in a row, each state fed back as the step before gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np

__all__ = ["FedBack"]

Feed = Mapping[str, np.ndarray]
Outputs = TypeVar("Outputs", bound=Mapping[str, np.ndarray] | Sequence[np.ndarray])


class FedBack(Generic[Outputs]):
    """`run` in a row: the states that a feed leaves out are what the run before gave.

    Args:
        run: feed in, outputs by name or in order.
        states: per state, the number of the output that is its next value.
    """

    def __init__(self, run: Callable[[Feed], Outputs], states: Mapping[str, int]) -> None:
        self._run, self._states = run, states
        self._carried: dict[str, np.ndarray] = {}

    def __call__(self, feed: Feed) -> Outputs:
        """The outputs, as `run` gives them."""
        outputs = self._run({**self._carried, **feed})
        values = list(outputs.values() if isinstance(outputs, Mapping) else outputs)
        self._carried = {name: values[index] for name, index in self._states.items() if index < len(values)}
        return outputs
