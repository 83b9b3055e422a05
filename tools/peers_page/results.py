"""Results as plain data, net by net, so that a race of hours can be held in parts.

    {"schema": 1, "nets": {"resnet18": {"date": "2026-01-31 12:00", "commit": "1234abc", "machine": {...},
                                        "rounds": 15, "pause": 0.05,
                                        "contenders": {"raw": {...}, "cnnc": {...}}}}}

A contender's entry is that of `tools.contenders.race.Entry`. What is compared was always held in one race: an
invocation replaces all of a net.
"""

from __future__ import annotations

import datetime
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnc_runtime.atomic import replacing
from cnnc_runtime.errors import InvalidInputError

__all__ = ["SCHEMA", "Results", "geometric_mean", "median_of", "merged", "read", "record", "speed_of", "write"]

SCHEMA = 1
Results = dict[str, Any]


def record(
    entries: Mapping[str, Any], pause: float, machine: Mapping[str, Any], commit: str | None = None
) -> dict[str, Any]:
    """One net's results, as of now (UTC)."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit,
        "machine": dict(machine),
        "rounds": max((len(one.get("rounds", ())) for one in entries.values()), default=0),
        "pause": pause,
        "contenders": dict(entries),
    }


def merged(old: Results, nets: Mapping[str, Any], order: Iterable[str]) -> Results:
    """`old` with `nets` in place of its own of these names, in `order`; nets that are in no order come last."""
    every = {**old.get("nets", {}), **nets}
    names = [*[name for name in order if name in every], *sorted(every.keys() - set(order))]
    return {"schema": SCHEMA, "nets": {name: every[name] for name in names}}


def read(path: Path, tool: str = "tools/peers.py") -> Results:
    """The results of `tool` in `path`; none where there is no such file.

    Raises:
        InvalidInputError: it holds something else.
    """
    if not path.exists():
        return {"schema": SCHEMA, "nets": {}}
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        known = results["schema"] == SCHEMA and isinstance(results["nets"], dict)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"{path} holds no results of {tool}: move it away") from error
    if not known:
        raise InvalidInputError(f"{path} has another schema than {SCHEMA}: move it away, and measure again")
    return results


def write(results: Results, path: Path) -> None:
    """Whole or not at all."""
    with replacing(path, force=True) as file:
        file.write((json.dumps(results, indent=1) + "\n").encode())


def median_of(entry: Mapping[str, Any] | None) -> float | None:
    """Seconds a call, the median of the rounds; None of what failed or did not take part."""
    return statistics.median(entry["rounds"]) if entry and "failed" not in entry and entry.get("rounds") else None


def speed_of(net: Mapping[str, Any], contender: str) -> float | None:
    """How many times faster than the raw export."""
    raw, own = (median_of(net["contenders"].get(name)) for name in ("raw", contender))
    return raw / own if raw and own else None


def geometric_mean(values: Iterable[float]) -> float | None:
    """None of no values."""
    logs = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logs)) if logs else None
