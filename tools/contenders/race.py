"""One net's race: every artifact made, looked into, and timed in turn; each contender in a process of its own."""

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
from tools.contenders.known import RAW, Contender, input_shapes
from tools.contenders.produce import file_of
from tools.contenders.runner import Runner, available_memory

__all__ = ["SECONDS", "Entry", "count", "produce", "race_net", "reason", "time_in_turn"]

Entry = dict[str, Any]
"""Of one contender: what `produce.py` and `count.py` answer, `rounds` (seconds a call, a number a round), `difference`
from the raw export's output as a share of its magnitude; or `failed`, the reason."""

SECONDS = 0.12
"""Timed calls of a turn take at least this long; there are at least two. Short turns, and many: a machine's own noise
lasts for seconds."""
LEAST_ROUNDS = 7

_TIMEOUT = 3600.0  # seconds; the largest net's compilation, on two cores
_TRIES, _WAIT, _PATIENCE = 4, 0.15, 1.0  # turns; seconds between them, and for all
_DISTURBED = 0.2  # cores; the system counts in ticks of 10 ms
_SLOW = 1.2
_RESERVE = 3 << 30  # bytes: with less than this to spare, contenders do not stay loaded
_ROOT = Path(__file__).resolve().parents[2]


def produce(net: str, product: str, folder: Path, **more: Any) -> Entry:
    """Make one artifact.

    Raises:
        CnncError, RuntimeError: the tool fails.
    """
    return _ask("produce", {"net": net, "product": product, "folder": str(folder), **more}, f"{net}, {product}")


def count(paths: Sequence[Path], runs_on: str) -> dict[Path, Entry]:
    """Nodes and MACs of .onnx files, or `failed`."""
    question = {"paths": [str(path) for path in paths], "runs_on": runs_on}
    try:
        found = _ask("count", question, paths[0].parent.name)
    except (CnncError, RuntimeError) as error:
        if len(paths) == 1:
            return {paths[0]: {"failed": reason(error)}}
        return {path: count([path], runs_on)[path] for path in paths}  # one of them crashes the process
    return {path: found[str(path)] for path in paths}


def time_in_turn(
    net: str,
    runners: Sequence[tuple[str, Contender, Path | None]],
    rounds: int,
    pause: float,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
    budget: float | None = None,
    batch: int = 1,
) -> dict[str, Entry]:
    """Time (name, contender, its file) in turn, another one first each round, with pauses: `rounds`, or `failed`.

    Each has a process of its own, which is stopped while others run: it loads, and torch.compile compiles, once. Where
    memory is short, a process ends after its turn, and begins again for the next. After `budget` seconds no further
    round begins, but the seventh.
    """
    found: dict[str, Entry] = {name: {"rounds": []} for name, _, _ in runners}
    loaded: dict[str, Runner] = {}
    fastest: dict[str, float] = {}
    start = time.monotonic()
    try:
        for turn, order in enumerate(in_turn(runners, rounds)):
            if turn >= LEAST_ROUNDS and budget is not None and time.monotonic() - start > budget:
                break
            for name, one, path in order:
                if "failed" in found[name]:
                    continue
                try:
                    if name not in loaded:
                        loaded[name] = _bring_up(net, name, one, path, folder, batch)
                        found[name] = loaded[name].answer | found[name]
                        fastest.setdefault(name, loaded[name].turn(SECONDS)["seconds"])
                    time.sleep(pause)
                    answer = _undisturbed(loaded[name], fastest[name])
                    fastest[name] = min(fastest[name], answer["seconds"])
                except (CnncError, RuntimeError) as error:
                    loaded.pop(name, None)
                    found[name] = {"failed": reason(error)}
                    say(f"{net}: {name} failed: {found[name]['failed']}")
                    continue
                found[name]["rounds"].append(answer.pop("seconds"))
                found[name] |= answer
                if (available_memory() or 2 * _RESERVE) < _RESERVE:
                    loaded.pop(name).close()
            say(f"{net}: round {turn + 1} of {rounds}")
    finally:
        for runner in loaded.values():
            runner.close()
    return found


def _undisturbed(runner: Runner, fastest: float) -> Entry:
    """A turn during which the cores were its own, or of all tries the fastest.

    Not its own: other processes needed them, or calls took far longer than in the `fastest` turn of this contender so
    far; what a virtual machine's host does with its cores can only be seen so.
    """
    tries: list[Entry] = []
    start = time.monotonic()
    while len(tries) < _TRIES and time.monotonic() - start < _PATIENCE:
        tries.append(runner.turn(SECONDS))
        if tries[-1]["others"] < _DISTURBED and tries[-1]["seconds"] < _SLOW * fastest:
            break
        time.sleep(_WAIT)
    answer = min(tries, key=lambda one: one["seconds"])
    return {key: value for key, value in answer.items() if key != "others"}


def _bring_up(net: str, name: str, one: Contender, path: Path | None, folder: Path, batch: int) -> Runner:
    question = {
        "net": net,
        "shapes": input_shapes(net, batch),
        "runs_on": one.runs_on,
        "settings": dict(one.settings),
        "path": str(path or folder / "inductor"),
        "output": str(folder / f"{name}.npy"),
    }
    return Runner(question, f"{net}, {name}", _TIMEOUT)


def race_net(
    net: str,
    chosen: Sequence[Contender],
    rounds: int,
    pause: float,
    say: Callable[[str], None] = lambda line: None,
    budget: float | None = None,
) -> dict[str, Entry]:
    """Everything of one net, by contender."""
    with tempfile.TemporaryDirectory(prefix="cnnc-peers-") as name:
        folder = Path(name)
        made = {product: _made(net, product, folder, say) for product in _products(chosen)}
        entries = {one.name: dict(made[one.product]) if one.product else {} for one in chosen}
        _count_all(chosen, entries, folder)
        say(f"{net}: nodes and MACs")
        runners = [
            (one.name, one, file_of(one.product, folder) if one.product else None)
            for one in chosen
            if "failed" not in entries[one.name]
        ]
        for name, entry in time_in_turn(net, runners, rounds, pause, folder, say, budget).items():
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
    try:
        entry = produce(net, product, folder)
    except (CnncError, RuntimeError) as error:
        entry = {"failed": reason(error)}
    say(f"{net}: {product} " + (f"failed: {entry['failed']}" if "failed" in entry else f"in {entry['seconds']:.1f} s"))
    return entry


def _count_all(chosen: Sequence[Contender], entries: dict[str, Entry], folder: Path) -> None:
    """Into the entries of those that run an .onnx file; each file once a kind of session."""
    for runs_on in ("onnxruntime", "engine"):
        files = {
            one.name: file_of(one.product, folder)
            for one in chosen
            if one.product and one.runs_on == runs_on and "failed" not in entries[one.name]
        }
        counted = count(list(dict.fromkeys(files.values())), runs_on) if files else {}
        for name, path in files.items():
            entries[name] |= counted[path]


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
