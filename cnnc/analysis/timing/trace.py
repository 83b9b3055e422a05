"""The engine's profile -> the time of each node of the graph that it really ran."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Kernel", "engine_graph", "kernel_times", "match_events", "middle_mean"]

_SUFFIX = "_kernel_time"


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A node of the engine's optimized graph, and how long it ran.

    Attributes:
        name, op, inputs, outputs: as in the graph; the domain is left out, a missing input is "".
        activation: whether an activation is fused into it.
        seconds: the mean of the middle half of the runs.
        fastest: the least of them.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: bool
    seconds: float = 0.0
    fastest: float = 0.0

    @property
    def title(self) -> str:
        """Its operator and name."""
        return f"{self.op} {self.name}".rstrip()


def engine_graph(path: Path) -> list[Kernel]:
    """The nodes of the graph that the engine wrote to `path` after its own optimization, without times."""
    import onnx

    return [
        Kernel(
            name=node.name,
            op=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            activation=any(attribute.name == "activation" and attribute.s for attribute in node.attribute),
        )
        for node in onnx.load(path, load_external_data=False).graph.node
    ]


def kernel_times(events: Iterable[Mapping[str, Any]], graph: Sequence[Kernel], runs: int) -> list[Kernel]:
    """The kernels of `graph` with the times of the last `runs` runs of the trace.

    Args:
        events: the profile of onnxruntime, with whole microseconds.
        graph: its optimized graph.
        runs: how many runs count; those before were the warm-up.

    Returns:
        the kernels; behind them, as kernels without inputs and outputs, what ran and is not in the graph.
    """
    seconds: dict[int, list[float]] = {index: [] for index in range(len(graph))}
    others: dict[Kernel, list[float]] = {}
    for run in _runs(events)[-runs:]:
        for event, index in zip(run, match_events(run, graph), strict=True):
            if index is None:
                stranger = Kernel(_name(event), event["args"]["op_name"], (), (), activation=False)
                others.setdefault(stranger, []).append(event["dur"] / 1e6)
            else:
                seconds[index].append(event["dur"] / 1e6)
    rows = [*((kernel, seconds[index]) for index, kernel in enumerate(graph)), *others.items()]
    return [_timed(kernel, times, runs) for kernel, times in rows]


def middle_mean(numbers: Sequence[float]) -> float:
    """The mean of the middle half: deaf to outliers as the median is, and finer than the clock's microsecond."""
    ordered = sorted(numbers)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return sum(middle) / len(middle)


def _timed(kernel: Kernel, times: list[float], runs: int) -> Kernel:
    times = times or [0.0]
    calls = max(1, round(len(times) / runs))  # of one run: a stranger may be called several times
    return dataclasses.replace(kernel, seconds=calls * middle_mean(times), fastest=min(times))


def _runs(events: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The node events of each run, in order; those inside another node (a branch of an If) are part of that one."""
    runs: list[list[Mapping[str, Any]]] = []
    current: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_SUFFIX):
            current.append(event)
        elif event.get("cat") == "Session" and event["name"] == "model_run":
            runs.append(_outermost(current))
            current = []
    return runs


def _outermost(events: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Events come as they end: what began after one that comes later was inside it."""
    outer: list[Mapping[str, Any]] = []
    for event in events:
        while outer and outer[-1]["ts"] > event["ts"]:
            outer.pop()
        outer.append(event)
    return outer


def match_events(run: Sequence[Mapping[str, Any]], graph: Sequence[Kernel]) -> list[int | None]:
    """The node of each event: that of its name; where it has none of its own, the next one of its operator.

    The file's order will not do for all: it is topological, but not that of execution.
    """
    count = Counter(kernel.name for kernel in graph)
    unique = {kernel.name: index for index, kernel in enumerate(graph) if kernel.name and count[kernel.name] == 1}
    nameless: dict[str, Iterator[int]] = {
        op: iter([index for index, one in enumerate(graph) if one.op == op and one.name not in unique])
        for op in {kernel.op for kernel in graph}
    }
    return [
        unique[name]
        if (name := _name(event)) in unique
        else next(nameless.get(event["args"]["op_name"], iter(())), None)
        for event in run
    ]


def _name(event: Mapping[str, Any]) -> str:
    return str(event["name"]).removesuffix(_SUFFIX)
