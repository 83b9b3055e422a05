"""The page docs/peers.md: how fast each contender is, who is ahead of cnnc, and every net in full."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.peers_page.results import geometric_mean, median_of, speed_of

__all__ = ["ENGINES_OWN", "has_a_law", "lead_over", "page"]

ENGINES_OWN = frozenset(
    {
        *("constant-reshape", "drop-noops", "explicit-pads", "fold-batchnorm", "fold-bias", "fold-pad", "fold-scale"),
        *("fuse-activation", "infer-shapes", "merge-duplicates", "merge-reshapes", "merge-transposes", "simplify"),
    }
)
"""Passes whose work onnxruntime does as well when it loads a file: they win nothing."""
_MEAN = "reduce-to-pool"
"""Applies nearly everywhere, and changes something only where the mean stood between blocked layouts."""

LOW_PRECISION = 1e-3
"""A result further off than this, as a share of the output's magnitude, was not computed in float32."""

_OURS = "cnnc"
_FOR_OTHER_ENGINES = "cnnc-portable"
_HEAD = """# The race against the peers

`make peers` makes every network of the list `tools/peers_nets.txt` with every tool and races the results on this
machine's CPU, batch 1; it writes this page, its picture and `peers.json`. `make peers ARGS=--quick` ends in five
minutes.

Contenders: `raw`, the export of `torch.onnx.export(dynamo=True)` as it comes; the same after onnxscript's optimizer,
onnxsim and OnnxSlim, all on bare onnxruntime; `cnnc`, proved, on its engine, for each target; OpenVINO on the raw
export at a fixed batch, in float32 and with its default hints, which may choose a lower precision; torch.compile
(inductor, frozen weights, fixed shapes); PyTorch eager, also in channels_last. Networks have seeded random weights.

Latencies: each contender in a process of its own, in turn, another one first each round, with pauses; the median of a
round's calls, and of these the median of the rounds. Speed is that of the raw export = 1. `off by` is the largest
difference from the raw export's output, as a share of its magnitude: beyond 1e-3 (marked *) it is not float32.
"""
_A_LAW = """A law applies: one that the engine does not have itself, in any of cnnc's artifacts but the portable one.
That a mean became a pooling counts where it left fewer layout conversions.
"""


def page(results: Mapping[str, Any], picture: str) -> str:
    """Markdown of the whole page; `picture` is the name of its plot, beside it."""
    nets: Mapping[str, Any] = results["nets"]
    names = _contenders(nets)
    parts = [_HEAD, _machines(nets)]
    if nets:
        parts += [
            "## Speed\n",
            _summary(nets, names),
            f"![Speed of each contender on each network]({picture})\n",
            _speeds(nets, names),
            "## Where a peer is ahead of cnnc\n",
            _ahead(nets, names),
            "## Every network\n",
            *(_details(net, of) for net, of in nets.items()),
        ]
    return "\n".join(parts)


def has_a_law(net: Mapping[str, Any]) -> bool:
    """Whether a law applies to it that the engine does not have."""
    raw = net["contenders"].get("raw", {}).get("layout_conversions", 0)
    for name in _ours(net):
        entry = net["contenders"][name]
        laws = set(entry.get("applied", {})) - ENGINES_OWN
        if laws - {_MEAN} or (laws and entry.get("layout_conversions", raw) < raw):
            return True
    return False


def _ours(net: Mapping[str, Any]) -> list[str]:
    """The contenders that are cnnc's, for this engine."""
    return [name for name in net["contenders"] if name.startswith(_OURS) and name != _FOR_OTHER_ENGINES]


def lead_over(peer: Mapping[str, Any], ours: Mapping[str, Any]) -> float | None:
    """How many times faster `peer` is, where all its rounds are faster than all of ours, in the same precision."""
    theirs, own = median_of(peer), median_of(ours)
    if theirs is None or own is None or peer.get("difference", 0.0) > LOW_PRECISION:
        return None
    return own / theirs if max(peer["rounds"]) < min(ours["rounds"]) else None


def _contenders(nets: Mapping[str, Any]) -> list[str]:
    """All that took part anywhere, in the order of the fullest race."""
    fullest = sorted(nets.values(), key=lambda net: -len(net["contenders"]))
    return list(dict.fromkeys(name for net in fullest for name in net["contenders"]))


def _machines(nets: Mapping[str, Any]) -> str:
    """What the figures are of; each machine and set of versions once."""
    groups: dict[str, list[str]] = {}
    for name, net in nets.items():
        machine = net["machine"]
        versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
        text = f"{machine['cpu']}, {machine['usable_cores']} usable cores; Python {machine['python']}, {versions}"
        groups.setdefault(text, []).append(name)
    if len(groups) == 1:
        return f"Measured on {next(iter(groups))}.\n"
    return "\n".join(f"- {', '.join(names)}: {text}" for text, names in groups.items()) + "\n"


def _summary(nets: Mapping[str, Any], names: Sequence[str]) -> str:
    """Geometric means, over the nets where a law applies that the engine lacks, and over the others."""
    groups = ([net for net in nets.values() if has_a_law(net)], [net for net in nets.values() if not has_a_law(net)])
    titles = [f"{len(group)} nets where {what}" for group, what in zip(groups, ("a law applies", "none"), strict=True)]
    rows = []
    for name in names:
        speeds = [[speed for net in group if (speed := speed_of(net, name))] for group in groups]
        every = sorted(speeds[0] + speeds[1])
        spread = f"{every[0]:.2f} to {every[-1]:.2f}" if every else ""
        rows.append([name, *(_ratio(geometric_mean(one)) for one in speeds), spread, str(len(every))])
    table = _table(["geometric mean of the speed", *titles, "lowest and highest", "nets"], rows)
    return f"{table}\n{_A_LAW}"


def _speeds(nets: Mapping[str, Any], names: Sequence[str]) -> str:
    rows = []
    for net, of in nets.items():
        cells = []
        for name in names[1:]:
            entry = of["contenders"].get(name, {})
            star = "*" if entry.get("difference", 0.0) > LOW_PRECISION else ""
            cells.append("failed" if "failed" in entry else _ratio(speed_of(of, name)) + star)
        rows.append([net, _milliseconds(median_of(of["contenders"].get(names[0]))), *cells])
    return _table(["", f"{names[0]}, ms", *names[1:]], rows)


def _ahead(nets: Mapping[str, Any], names: Sequence[str]) -> str:
    """Of the fastest of cnnc's artifacts, by all rounds of both, in the same precision."""
    rows = []
    for net, of in nets.items():
        ours = min(_ours(of), key=lambda name: median_of(of["contenders"][name]) or math.inf, default=_OURS)
        own = of["contenders"].get(ours, {})
        for name in names:
            peer = of["contenders"].get(name, {})
            lead = None if name.startswith(_OURS) else lead_over(peer, own)
            if lead is not None:
                rows.append([net, name, ours, *map(_milliseconds, (median_of(peer), median_of(own))), f"{lead:.2f}"])
    if not rows:
        return (
            "Nowhere: in float32, no peer was faster in all its rounds than the fastest of cnnc's artifacts in any.\n"
        )
    table = _table(["", "peer", "fastest of cnnc", "peer, ms", "cnnc, ms", "times faster"], rows)
    return f"In float32, and faster in each of its rounds than the fastest of cnnc's artifacts in any:\n\n{table}"


def _details(name: str, net: Mapping[str, Any]) -> str:
    columns = ["", "latency, ms", "rounds from, to", "speed", "off by", "nodes", "conversions"]
    columns += ["MMACs", "file, MB", "made in, s", "peak, MB"]
    raw = net["contenders"].get("raw", {})
    rows = [_detail(key, entry, raw, speed_of(net, key)) for key, entry in net["contenders"].items()]
    failed = [f"{key} failed: {_escaped(one['failed'])}" for key, one in net["contenders"].items() if "failed" in one]
    applied = net["contenders"].get(_OURS, {}).get("applied", {})
    laws = ", ".join(f"{law} ×{count}" for law, count in applied.items()) or "none"
    lines = [f"{net['date']}, {net['rounds']} rounds. Passes of `cnnc`: {laws}.", *failed]
    return f"<details><summary>{name}</summary>\n\n{_table(columns, rows)}\n" + "\n\n".join(lines) + "\n\n</details>\n"


def _detail(name: str, entry: Mapping[str, Any], raw: Mapping[str, Any], speed: float | None) -> list[str]:
    """What starts from the raw export's file took its time, and its memory, as well."""
    after_raw = "peak_bytes" in entry and name.startswith(("onnx", "openvino")) and "peak_bytes" in raw
    seconds, peak = entry.get("seconds"), entry.get("peak_bytes")
    if after_raw:
        seconds, peak = entry["seconds"] + raw["seconds"], max(entry["peak_bytes"], raw["peak_bytes"])
    rounds = entry.get("rounds") or []
    off = entry.get("difference")
    return [
        name,
        "failed" if "failed" in entry else _milliseconds(median_of(entry)),
        f"{_milliseconds(min(rounds))} to {_milliseconds(max(rounds))}" if rounds else "",
        _ratio(speed),
        "" if off is None else f"{off:.0e}{'*' if off > LOW_PRECISION else ''}",
        _whole(entry.get("nodes")),
        _whole(entry.get("layout_conversions")),
        _scaled(entry.get("macs"), 1e6),
        _scaled(entry.get("bytes"), 1e6, 2),
        _scaled(seconds, 1),
        _scaled(peak, 1e6, 0),
    ]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def _whole(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _scaled(value: float | None, unit: float, digits: int = 1) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"
