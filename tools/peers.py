"""The race against the peers: every net of tools/peers_nets.txt, every contender; docs/peers.md, .svg and .json.

    make peers                                   # every net: two hours on two cores
    make peers ARGS=--quick                      # two nets: five minutes; to build/peers
    python tools/peers.py --nets r3d_18,s3d --merge     # these two again; all others stay as they are
    python tools/peers.py --page                 # the page and the picture again, from the JSON

Results are written after each net: with --merge, a race that was stopped goes on where --nets says. The peers are in
the extra `race` (pip install -c constraints.txt '.[race]'); torch.compile needs a C++ compiler. A contender that
fails on a net says why in its place.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc.machine import describe_machine, versions
from cnnc_runtime.atomic import replacing
from cnnc_runtime.errors import CnncError, UsageError
from tools.contenders.known import DEFAULT, PACKAGES, RAW, Contender, contenders
from tools.contenders.race import race_net
from tools.peers_page.page import page
from tools.peers_page.picture import draw
from tools.peers_page.results import Results, merged, read, record, write

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tools" / "peers_nets.txt"
QUICK = ("lenet5", "mobileone_s0")
ROUNDS = 15
BUDGET = 60.0  # seconds of rounds a net, bringing up included; seven rounds in any case


def main() -> int:
    """Race what is asked for; an exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is left of a race goes with it
    out: Path = options.out or (ROOT / "build" / "peers" if options.quick else ROOT / "docs")
    out.mkdir(parents=True, exist_ok=True)
    try:
        nets, chosen = _nets(options), _contenders(options)
        results = read(out / "peers.json")
        if options.page:
            _publish(results, out)
            return 0
        results = merged(results if options.merge else {}, {}, _listed())
        machine = describe_machine()
        machine["versions"] |= versions(PACKAGES)
        start = time.monotonic()
        rounds, commit = options.rounds or ROUNDS, _commit()
        for net in nets:
            entries = race_net(net, chosen, rounds, options.pause, lambda line: _say(line, start), BUDGET)
            results = merged(results, {net: record(entries, options.pause, machine, commit)}, _listed())
            write(results, out / "peers.json")
            _publish(results, out)
    except CnncError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {out / 'peers.md'}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", metavar="A,B", help="these instead of the whole list")
    parser.add_argument("--contenders", metavar="A,B", help=f"and raw; default: {','.join(DEFAULT)}")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help=f"most, at least 7 where they take long; default: {ROUNDS}"
    )
    parser.add_argument(
        "--pause", type=float, default=0.05, metavar="S", help="seconds before each turn; default: 0.05"
    )
    parser.add_argument("--quick", action="store_true", help=f"{' and '.join(QUICK)} alone: five minutes")
    parser.add_argument("--merge", action="store_true", help="keep the results of nets that do not race now")
    parser.add_argument("--page", action="store_true", help="no race: write the page from the JSON")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: docs, with --quick build/peers")
    return parser.parse_args()


def _listed() -> list[str]:
    lines = (line.partition("#")[0].strip() for line in LIST.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _nets(options: argparse.Namespace) -> list[str]:
    listed = _listed()
    nets = options.nets.split(",") if options.nets else list(QUICK) if options.quick else listed
    for net in nets:
        if net not in listed:
            raise UsageError(f"--nets: {net!r} is not in {LIST.relative_to(ROOT)}")
    if options.rounds is not None and options.rounds < 1:
        raise UsageError(f"--rounds {options.rounds}: at least 1")
    return nets


def _contenders(options: argparse.Namespace) -> list[Contender]:
    names = tuple(options.contenders.split(",")) if options.contenders else DEFAULT
    try:
        return contenders(names)
    except KeyError as error:
        raise UsageError(f"--contenders: {error.args[0]!r} is none: {', '.join((RAW, *DEFAULT[1:]))}") from None


def _commit() -> str | None:
    """Of this checkout, with a + where files differ from it; None without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _publish(results: Results, out: Path) -> None:
    for name, content in (("peers.md", page(results, "peers.svg").encode()), ("peers.svg", draw(results))):
        with replacing(out / name, force=True) as file:
            file.write(content)


def _say(line: str, start: float) -> None:
    print(f"{time.monotonic() - start:7.0f} s  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
