"""What a pass gains on the net that shows it: compiled with it and without it, and the two raced."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnc.machine import describe_machine
from cnnc_passes.pipeline import TARGETS
from cnnc_runtime.errors import UsageError
from tools.contenders.known import Contender, product_of_target
from tools.contenders.produce import file_of
from tools.contenders.race import count, produce, time_in_turn
from tools.gallery.shown import SHOWN_ON

__all__ = ["measure"]

_BUDGET = 30.0  # seconds of turns a pass


def measure(name: str, rounds: int, pause: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Of one pass: `applied` (how many times), `with` and `without` (`macs`, `nodes`, `file_nodes`, `rounds`).

    Raises:
        UsageError: no net shows it, or it does not apply to the one that should.
        CnncError, RuntimeError: the net does not compile, or does not run.
    """
    if name not in SHOWN_ON:
        raise UsageError(f"--measure {name}: no net of the zoo shows it; these do: {', '.join(SHOWN_ON)}")
    shown = SHOWN_ON[name]
    assert shown.target in TARGETS
    product = product_of_target(shown.target)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="cnnc-gallery-") as scratch:
        runners = []
        for which, skip in (("with", []), ("without", [name])):
            folder = Path(scratch) / which
            folder.mkdir()
            made = produce(shown.net, product, folder, skip=skip, prove=False)
            if not skip and name not in made["applied"]:
                raise UsageError(f"{name} does not apply to {shown.net}: tools/gallery/shown.py names another net")
            file = file_of(product, folder)
            found[which] = {"applied": made["applied"]} | count([file], "engine")[file]
            if "failed" in found[which]:
                raise RuntimeError(f"{shown.net} {which} {name}: {found[which]['failed']}")
            runners.append((which, Contender(which, product, "engine"), file))
            say(f"{name}: {shown.net} {which} it")
        for which, entry in time_in_turn(shown.net, runners, rounds, pause, Path(scratch), say, _BUDGET).items():
            if "failed" in entry:
                raise RuntimeError(f"{shown.net} {which} {name}: {entry['failed']}")
            found[which] |= entry
    machine = describe_machine()
    versions = ", ".join(f"{key} {machine['versions'][key]}" for key in sorted(machine["versions"]) if "onnxr" in key)
    return {
        "net": shown.net,
        "target": shown.target,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{machine['cpu']}, {machine['usable_cores']} usable cores, {versions}",
        "applied": found["with"].pop("applied")[name],
        "with": found["with"],
        "without": {key: value for key, value in found["without"].items() if key != "applied"},
    }
