"""The page docs/peers.md: how fast each contender is, who is ahead of cnnc, and every net in full."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.contenders.known import AGAIN
from tools.peers_page.compare import LOW_PRECISION, OURS, has_a_law, lead_over, noise_of, ratio_of
from tools.peers_page.results import geometric_mean, median_of, speed_of

__all__ = ["page"]

_SIMPLIFIERS = ("onnxsim", "onnxslim")
_HEAD = """# The race against the peers

`make peers` makes every network of the list `tools/peers_nets.txt` with every tool and races the results on this
machine's CPU, batch 1; it writes this page, its picture and `peers.json`. `make peers ARGS='--nets resnet18,r3d_18
--merge'` races these again and keeps the others, `make peers ARGS=--quick` ends in five minutes.

- `raw`: the export of `torch.onnx.export(dynamo=True)` as it comes; `raw-again`: the same file in a second process.
- `onnxscript`, `onnxsim`, `onnxslim`: that file after onnxscript's optimizer, onnxsim and OnnxSlim.
- `cnnc`, `cnnc-cpu`: the proved artifacts, `--target onnxruntime` (the default) and `--target cpu`. All files so far
  run on bare onnxruntime with its default options and threads; `cnnc-engine` is the default artifact on `cnnc.load`.
- `openvino-f32`, `openvino`: OpenVINO on the raw export at a fixed batch, in float32, and with its default hints, which
  may choose a lower precision.
- `torch-compile`: inductor, frozen weights, fixed shapes; `eager`, `eager-channels-last`: PyTorch as it is.

Networks have seeded random weights. Each contender has a process of its own, which stays loaded and is stopped
(SIGSTOP) while others run. They run in turn, another one first each round, with pauses. A turn is repeated, at most
three times, if anything else took cores meanwhile, or if its calls took 1.2 times as long as in the same contender's
fastest turn so far: the cores of a virtual machine are not always its own. A latency is the median of a turn's calls,
and of these the median of the rounds. Speed is that of the raw export = 1. `off by` is the largest
difference from the raw export's output, as a share of its magnitude: beyond 1e-3 (marked *) it is not float32, and is
compared no further.

Beyond noise: faster in at least 6 of 7 rounds, and by more than `raw-again` differs from `raw` on that network.
"""
_A_LAW = """A law applies: one that the engine does not have itself, in an artifact of cnnc, and the engine makes a
graph of it with other operators or MACs than of the raw export. That a mean became a pooling, alone, counts where it
left fewer layout conversions.
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
            "## cnnc against each peer\n",
            *(_against(nets, names, ours) for ours in OURS),
            "## Slower than the raw export, or than onnxsim's or OnnxSlim's output\n",
            _slower(nets),
            "## Where another engine is ahead of cnnc\n",
            _ahead(nets, names),
            "## Every network\n",
            *(_details(net, of) for net, of in nets.items()),
        ]
    return "\n".join(parts)


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


def _against(nets: Mapping[str, Any], names: Sequence[str], ours: str) -> str:
    """How many times the latency of `ours` each peer's is."""
    groups = [[net for net in nets.values() if has_a_law(net) is law] for law in (True, False)]
    rows = []
    for peer in names:
        if peer.startswith("cnnc") or peer == AGAIN:
            continue
        ratios = [[ratio for net in group if (ratio := ratio_of(net, peer, ours))] for group in groups]
        every = ratios[0] + ratios[1]
        ahead = sum(lead_over(net, ours, peer) is not None for net in nets.values())
        behind = sum(lead_over(net, peer, ours) is not None for net in nets.values())
        means = (_ratio(geometric_mean(one)) for one in (*ratios, every))
        rows.append([peer, *means, *map(str, (len(every), ahead, behind))])
    columns = ["a law applies", "none", "all", "nets in float32", f"{ours} ahead", "peer ahead"]
    return _table([f"peer's latency / that of `{ours}`, geometric mean", *columns], rows)


def _slower(nets: Mapping[str, Any]) -> str:
    rows = [
        [net, ours, peer, f"{lead:.2f}", f"{noise_of(of):.2f}"]
        for net, of in nets.items()
        for ours in OURS
        for peer in ("raw", *_SIMPLIFIERS)
        if (lead := lead_over(of, peer, ours)) is not None
    ]
    if not rows:
        return f"Nowhere beyond noise, of {len(nets)} networks.\n"
    return _table(["", "artifact", "slower than", "times", "noise"], rows)


def _ahead(nets: Mapping[str, Any], names: Sequence[str]) -> str:
    """Of the fastest of cnnc's artifacts, in float32."""
    rows = []
    for net, of in nets.items():
        ours = min(OURS, key=lambda name: median_of(of["contenders"].get(name)) or math.inf)
        for name in names:
            if not name.startswith(("openvino", "torch", "eager")):
                continue
            lead = lead_over(of, name, ours)
            if lead is not None:
                both = (median_of(of["contenders"][one]) for one in (name, ours))
                rows.append([net, name, ours, *map(_milliseconds, both), f"{lead:.2f}", f"{noise_of(of):.2f}"])
    if not rows:
        return f"Nowhere beyond noise, in float32, of {len(nets)} networks.\n"
    columns = ["", "peer", "fastest of cnnc", "peer, ms", "cnnc, ms", "times faster", "noise"]
    return f"In float32, beyond noise:\n\n{_table(columns, rows)}"


def _details(name: str, net: Mapping[str, Any]) -> str:
    columns = ["", "latency, ms", "rounds from, to", "speed", "off by", "nodes", "conversions"]
    columns += ["MMACs", "file, MB", "made in, s", "peak of that, MB", "peak of running, MB"]
    raw = net["contenders"].get("raw", {})
    rows = [_detail(key, entry, raw, speed_of(net, key)) for key, entry in net["contenders"].items()]
    failed = [f"{key} failed: {_escaped(one['failed'])}" for key, one in net["contenders"].items() if "failed" in one]
    laws = (f"{ours}: {_laws(net['contenders'].get(ours, {}))}" for ours in OURS)
    when = f"{net['date']}, commit {net.get('commit') or 'unknown'}, {net['rounds']} rounds"
    lines = [f"{when}. {'A' if has_a_law(net) else 'No'} law applies. {'; '.join(laws)}.", *failed]
    return f"<details><summary>{name}</summary>\n\n{_table(columns, rows)}\n" + "\n\n".join(lines) + "\n\n</details>\n"


def _laws(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{law} ×{count}" for law, count in entry.get("applied", {}).items()) or "no pass"


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
        _scaled(entry.get("running_bytes"), 1e6, 0),
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
