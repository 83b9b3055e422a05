"""The page docs/systems/README.md: a row a system, of what was measured, and a row for what is looked at in any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnc.analysis.units import human
from tools.systems_page.known import SUBJECTS, SYSTEMS, Subject, System, Test

__all__ = ["page"]

_HEAD = """# The systems of the field

From LeNet-5 to networks that see videos, each compiled by the command in its row, proved, run and raced against
PyTorch. Weights are random, from a seed: give trained ones with `--weights`. The pages tell how each is used.

`python tools/systems.py` measures all of them again and writes this page, `--nets resnet18,unet` these two. Parameters
and MACs are the network's, as PyTorch has it; where the artifact has fewer MACs, these stand behind the arrow. *Off by*
is what the proof found: the largest difference from the network in float64, as a share of the output's magnitude.
Latencies are of one image, clip or frame on the CPU: the artifact on cnnc's engine and the network in PyTorch (eager),
each in a process of its own, in turn; medians of a round's runs, and of these the median of the rounds. 3-D CNNs are
compiled for the CPU alone, [clips frame by frame](../lowering.md#clips-frame-by-frame): leave `--target cpu` out for
a GPU.
"""
_SUBJECTS = """## What is looked at

In any network; `six.py` is on the page.
"""
_COLUMNS = ("system", "page", "command", "parameters", "MACs", "off by", "artifact, ms", "eager, ms", "speed", "tests")
_TEXT = {"system", "page", "command", "tests", "subject"}


def page(results: Mapping[str, Any]) -> str:
    """Markdown of the whole page; what was not measured yet has a row without figures."""
    nets: Mapping[str, Any] = results["nets"]
    parts = [
        _HEAD,
        _table(_COLUMNS, (_row(one, nets.get(one.name)) for one in SYSTEMS)),
        _notes(nets),
        _SUBJECTS,
        _table(("subject", "page", "command", "tests"), map(_subject, SUBJECTS)),
    ]
    return "\n".join(part for part in parts if part)


def _row(system: System, net: Mapping[str, Any] | None) -> list[str]:
    known = [system.what, _link(system.page), f"`{system.command}`"]
    tests = _tests(system.every_test)
    if net is None or "failed" in net:
        return [*known, *[""] * 4, "failed" if net else "", "", tests]
    artifact, eager = (net["latency"][name]["median"] for name in ("artifact", "eager"))
    before, after = net["costs"]["before"], net["costs"]["after"]
    return [
        *known,
        f"{before['params']:,}" if before else "?",
        _macs(before, after),
        f"{net['error']:.1e}",
        _milliseconds(artifact),
        _milliseconds(eager),
        f"{eager / artifact:.2f}x",
        tests,
    ]


def _macs(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> str:
    if before is None or after is None:
        return "?"
    texts = dict.fromkeys((human(before["macs"]), human(after["macs"])))
    return " → ".join(texts)


def _notes(nets: Mapping[str, Any]) -> str:
    """Of systems that say something, of what was added, of failures, and of the machines."""
    lines = []
    for system in SYSTEMS:
        net = nets.get(system.name)
        said = [system.note] if system.note else []
        if net and "failed" in net:
            said.append(f"failed: {net['failed']}")
        elif net and "plain" in net["latency"]:
            artifact, plain = (net["latency"][name]["median"] for name in ("artifact", "plain"))
            said.append(
                f"the plain artifact takes {_milliseconds(plain)} ms: {artifact / plain:.2f} times as long as it"
            )
        if said:
            lines.append(f"- `{system.name}`: {'; '.join(said)}.")
    return "\n".join([*lines, *_machines(nets)]) + "\n"


def _machines(nets: Mapping[str, Any]) -> list[str]:
    """What the figures are of; each machine, day and set of versions once."""
    groups: dict[str, list[str]] = {}
    for name, net in nets.items():
        machine = net["machine"]
        versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
        cores = machine["usable_cores"]
        text = f"{net['date']}, {machine['cpu']}, {cores} usable cores; Python {machine['python']}, {versions}"
        if "failed" not in net:
            text += f"; rounds: {net['rounds']} of {net['seconds']:g} s"
        groups.setdefault(text, []).append(name)
    if len(groups) == 1:
        return [f"- Measured: {next(iter(groups))}."]
    return [f"- Measured, {', '.join(f'`{name}`' for name in names)}: {text}." for text, names in groups.items()]


def _subject(subject: Subject) -> list[str]:
    return [subject.what, _link(subject.page), f"`{subject.command}`", _tests(subject.tests)]


def _link(target: str) -> str:
    return f"[{target.partition('.md')[0].replace('_', ' ')}]({target})"


def _tests(tests: Iterable[Test]) -> str:
    """A command for each: brackets are quoted for the shell."""
    words = ((path, f'"{word}"' if "[" in word else word) for path, word in tests)
    return "<br>".join(f"`pytest {path} -k {word}`" for path, word in words)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---" if column in _TEXT else "---:" for column in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *rows)) + "\n"
