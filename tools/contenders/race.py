"""One net's race: every artifact made, looked into, and timed in turn; each step in a process of its own."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnc.bench.bench import in_turn
from cnnc.child import ask
from cnnc_runtime.errors import CnncError
from tools.contenders.known import RAW, Contender
from tools.contenders.produce import file_of

__all__ = ["Entry", "count", "produce", "race_net", "time_in_turn"]

Entry = dict[str, Any]
"""Of one contender: what `produce.py` and `count.py` answer, `rounds` (seconds a call, a number a round), `difference`
from the raw export's output as a share of its magnitude; or `failed`, the reason."""

_TIMEOUT = 3600.0  # seconds; the largest net's compilation, on two cores
_ROOT = Path(__file__).resolve().parents[2]


def produce(net: str, product: str, folder: Path, **more: Any) -> Entry:
    """Make one artifact.

    Raises:
        CnncError, RuntimeError: the tool fails.
    """
    return _ask("produce", {"net": net, "product": product, "folder": str(folder), **more}, f"{net}, {product}")


def count(path: Path, runs_on: str) -> Entry:
    """Nodes and MACs of an .onnx file.

    Raises:
        CnncError, RuntimeError: it cannot be opened.
    """
    return _ask("count", {"path": str(path), "runs_on": runs_on}, path.name)


def time_in_turn(
    net: str,
    runners: Sequence[tuple[str, Contender, Path | None]],
    rounds: int,
    pause: float,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Entry]:
    """Time (name, contender, its file) in turn, another one first each round, with pauses: `rounds`, or `failed`."""
    found: dict[str, Entry] = {name: {"rounds": []} for name, _, _ in runners}
    for turn, order in enumerate(in_turn(runners, rounds)):
        for name, one, path in order:
            if "failed" in found[name]:
                continue
            question = {
                "net": net,
                "runs_on": one.runs_on,
                "settings": dict(one.settings),
                "path": str(path),
                "output": None if turn else str(folder / f"{name}.npy"),
            }
            time.sleep(pause)
            try:
                found[name]["rounds"].append(_ask("run", question, f"{net}, {name}")["seconds"])
            except (CnncError, RuntimeError) as error:
                found[name] = {"failed": reason(error)}
        say(f"{net}: round {turn + 1} of {rounds}")
    return found


def race_net(
    net: str, chosen: Sequence[Contender], rounds: int, pause: float, say: Callable[[str], None] = lambda line: None
) -> dict[str, Entry]:
    """Everything of one net, by contender."""
    with tempfile.TemporaryDirectory(prefix="cnnc-peers-") as name:
        folder = Path(name)
        made = {product: _made(net, product, folder, say) for product in _products(chosen)}
        entries: dict[str, Entry] = {}
        for one in chosen:
            entry = dict(made[one.product]) if one.product else {}
            if one.runs_on in ("onnxruntime", "engine") and "failed" not in entry:
                entry |= _or_failed(lambda one=one: count(file_of(one.product, folder), one.runs_on))  # type: ignore[misc]
            entries[one.name] = entry
        runners = [
            (one.name, one, file_of(one.product, folder) if one.product else None)
            for one in chosen
            if "failed" not in entries[one.name]
        ]
        for name, entry in time_in_turn(net, runners, rounds, pause, folder, say).items():
            entries[name] |= entry
        for name, entry in entries.items():
            if "failed" not in entry and "failed" not in entries[RAW]:
                entry["difference"] = _difference(folder / f"{name}.npy", folder / f"{RAW}.npy")
    return entries


def _products(chosen: Sequence[Contender]) -> list[str]:
    """Each once, what others are made from first."""
    products = [one.product for one in chosen if one.product]
    needed = ["cnnc-portable"] if "openvino-cnnc" in products else []
    return list(dict.fromkeys((RAW, *needed, *products)))


def _made(net: str, product: str, folder: Path, say: Callable[[str], None]) -> Entry:
    entry = _or_failed(lambda: produce(net, product, folder))
    say(f"{net}: {product} " + (f"failed: {entry['failed']}" if "failed" in entry else f"in {entry['seconds']:.1f} s"))
    return entry


def _or_failed(ask_for: Callable[[], Entry]) -> Entry:
    try:
        return ask_for()
    except (CnncError, RuntimeError) as error:
        return {"failed": reason(error)}


def reason(error: Exception) -> str:
    """The last line of what a child said, without its folder names, short enough for a table's note."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _difference(output: Path, raw: Path) -> float:
    """The largest, as a share of the largest value of the raw export's output."""
    y, expected = np.load(output), np.load(raw)
    if y.shape != expected.shape:
        return float("inf")
    return float(np.abs(y - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))


def _ask(child: str, question: Entry, about: str) -> Entry:
    """The children import `tools`: they run with this checkout on their path."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(_ROOT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), *paths)))
    return ask(f"tools.contenders.{child}", question, about=about, timeout=_TIMEOUT)
