"""The gallery of the passes: docs/passes.md and the pictures in docs/passes/, generated from the laws themselves.

    python tools/passes_gallery.py                              # the page and the pictures; seconds
    python tools/passes_gallery.py --measure hoist-stride ...   # and what these gain, on the nets that show them
    python tools/passes_gallery.py --measure all                # all that any net shows: half an hour on two cores

Gains are kept in docs/passes_gains.json, a pass at a time; a measurement of one replaces what stands there of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc_passes.pipeline import named_passes
from cnnc_runtime.atomic import replacing
from cnnc_runtime.errors import CnncError, UsageError
from tools.gallery.measure import measure
from tools.gallery.page import FOLDER, page, pictures
from tools.gallery.shown import SHOWN_ON

DOCS = Path(__file__).resolve().parent.parent / "docs"
GAINS = DOCS / "passes_gains.json"


def main() -> int:
    """Write it all; an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="+", default=[], metavar="PASS", help="`all`, or names")
    parser.add_argument("--rounds", type=int, default=31, help="turns of each of the two; default: 31")
    parser.add_argument(
        "--pause", type=float, default=0.05, metavar="S", help="seconds before each turn; default: 0.05"
    )
    options = parser.parse_args()
    start = time.monotonic()
    try:
        if options.rounds < 1:
            raise UsageError(f"--rounds {options.rounds}: at least 1")
        names = list(SHOWN_ON) if options.measure == ["all"] else options.measure
        for name in names:
            if name not in named_passes():
                raise UsageError(f"--measure: no pass is named {name!r}; `cnnc passes` lists them")
        gains = json.loads(GAINS.read_text(encoding="utf-8")) if GAINS.exists() else {}
        for name in names:
            gains[name] = measure(
                name, options.rounds, options.pause, lambda line: print(f"{time.monotonic() - start:7.0f} s  {line}")
            )
            in_order = {key: gains[key] for key in named_passes() if key in gains}
            _write(GAINS, json.dumps(in_order, indent=1) + "\n")
            publish(in_order)  # each time: a measurement of hours may be stopped
        if not names:
            publish(gains)
    except (CnncError, RuntimeError) as error:
        print(f"error: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


def publish(gains: dict[str, Any]) -> None:
    """The page, and the pictures; those of passes that are no more go."""
    folder = DOCS / FOLDER
    folder.mkdir(exist_ok=True)
    drawn = pictures()
    for old in folder.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    for name, content in drawn.items():
        _write(folder / name, content)
    _write(DOCS / "passes.md", page(gains))


def _write(path: Path, content: str) -> None:
    with replacing(path, force=True) as file:
        file.write(content.encode())


if __name__ == "__main__":
    sys.exit(main())
