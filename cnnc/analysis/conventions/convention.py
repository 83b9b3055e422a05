"""What a convention is: the name that a tool gives its number, and its count of one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from cnnc.analysis.conventions.calls import Call

__all__ = ["Convention", "ConventionCount"]


@dataclasses.dataclass(frozen=True)
class ConventionCount:
    """A network's cost as one tool counts it.

    Attributes:
        convention: the tool.
        total: what it prints for the network.
        unit: what it calls that number.
        params: the parameters it prints, where it does not count them all; else None.
        layers: the calls that add to the total, by the name of the graph's node that does the work.
        note: one line: what it counts otherwise than cnnc.
    """

    convention: str
    total: int
    unit: str
    params: int | None
    layers: Mapping[str, int]
    note: str


@dataclasses.dataclass(frozen=True)
class Convention:
    """How one tool counts.

    Attributes:
        name: the tool.
        unit: what it calls its number.
        note: one line: what it counts otherwise than cnnc.
        cost: a call -> what it adds to the total.
        merge: the calls of functions -> the calls that the tool sees; as they are, if None.
        params: all calls -> the tool's number of parameters, if it does not count them all.
    """

    name: str
    unit: str
    note: str
    cost: Callable[[Call], int]
    merge: Callable[[Sequence[Call]], Sequence[Call]] | None = None
    params: Callable[[Sequence[Call]], int] | None = None

    def count(self, calls: Sequence[Call]) -> ConventionCount:
        """The sum over `calls`, in the order in which they run."""
        layers: dict[str, int] = {}
        for call in calls if self.merge is None else self.merge(calls):
            if (cost := self.cost(call)) != 0:
                layers[call.name] = layers.get(call.name, 0) + cost
        params = None if self.params is None else self.params(calls)
        return ConventionCount(self.name, sum(layers.values()), self.unit, params, layers, self.note)
