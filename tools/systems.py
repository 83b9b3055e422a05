"""The systems of the field, compiled, proved and raced: docs/systems/README.md from docs/systems/systems.json.

    python tools/systems.py                          # all of them: an hour on two quiet cores
    python tools/systems.py --nets resnet18,unet     # these; all others stay as they are
    python tools/systems.py --nets lenet5 --quick    # no figures to keep: one short round, to build/systems
    python tools/systems.py --page                   # the page again, from the JSON

Results are kept after each system, so that a run may be stopped, and go on where --nets says. A system that fails says
why in its place; what was measured of it before goes.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc.machine import describe_machine
from cnnc_runtime.atomic import replacing
from cnnc_runtime.errors import CnncError, UsageError
from tools.peers_page.results import Results, merged, read, write
from tools.systems_page.known import SYSTEMS, System
from tools.systems_page.measure import measure
from tools.systems_page.page import page

ROOT = Path(__file__).resolve().parent.parent
NAMES = [system.name for system in SYSTEMS]


def main() -> int:
    """Measure what is asked for; an exit code, 10 where a system failed."""
    options = _options()
    out: Path = options.out or (ROOT / "build" / "systems" if options.quick else ROOT / "docs" / "systems")
    try:
        chosen = _chosen(options)
        out.mkdir(parents=True, exist_ok=True)
        results = read(out / "systems.json", "tools/systems.py")
        start, failures = time.monotonic(), 0
        for system in () if options.page else chosen:
            date = datetime.datetime.now(datetime.UTC).date().isoformat()
            about: dict[str, Any] = {"date": date, "machine": describe_machine()}
            try:
                about |= measure(system, options.rounds, options.seconds, lambda line: _say(line, start))
            except (CnncError, RuntimeError) as error:  # a child that crashes in its own code is a RuntimeError
                failures += 1
                about["failed"] = str(error).strip().splitlines()[-1]
                _say(f"{system.name} failed: {about['failed']}", start)
            results = merged(results, {system.name: about}, NAMES)
            write(results, out / "systems.json")
            _publish(results, out)
        _publish(results, out)
    except CnncError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {out / 'README.md'}")
    return 10 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", metavar="A,B", help=f"these instead of all: {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="processes a contender; default: 5")
    parser.add_argument("--seconds", type=float, metavar="S", help="of timed runs in each; default: 1")
    parser.add_argument("--quick", action="store_true", help="1 round of 0.1 s")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page from the JSON")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: docs/systems, with --quick build/systems")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (0.1 if options.quick else 1.0)
    return options


def _chosen(options: argparse.Namespace) -> list[System]:
    names = options.nets.split(",") if options.nets else NAMES
    unknown = next((name for name in names if name not in NAMES), None)
    if unknown is not None:
        raise UsageError(f"--nets: {unknown!r} is none of {', '.join(NAMES)}")
    return [system for system in SYSTEMS if system.name in names]


def _publish(results: Results, out: Path) -> None:
    with replacing(out / "README.md", force=True) as file:
        file.write(page(results).encode())


def _say(line: str, start: float) -> None:
    print(f"{time.monotonic() - start:7.0f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
