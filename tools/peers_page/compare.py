"""Who is ahead of whom, beyond noise; and whether a law applies that the engine does not have itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.contenders.known import AGAIN, RAW
from tools.peers_page.results import median_of, speed_of

__all__ = ["ENGINES_OWN", "LOW_PRECISION", "OURS", "has_a_law", "lead_over", "noise_of", "ratio_of"]

OURS = ("cnnc", "cnnc-cpu")
"""cnnc's artifacts for this engine, on the same bare onnxruntime as the files of the other tools."""

LOW_PRECISION = 1e-3
"""A result further off than this, as a share of the output's magnitude, was not computed in float32."""

ENGINES_OWN = frozenset(
    {
        *("constant-reshape", "drop-noops", "explicit-pads", "fold-batchnorm", "fold-bias", "fold-pad", "fold-scale"),
        *("fuse-activation", "infer-shapes", "merge-duplicates", "merge-reshapes", "merge-transposes", "simplify"),
    }
)
"""Passes whose work onnxruntime does as well when it loads a file: they win nothing."""
_MEAN = "reduce-to-pool"
"""Applies nearly everywhere, and changes something only where the mean stood between blocked layouts."""
_OFTEN = 6 / 7
"""The share of rounds in which one is faster than the other: by chance, 1 in 16 of 7 rounds, 1 in 270 of 15."""


def has_a_law(net: Mapping[str, Any]) -> bool:
    """Whether a law applies that the engine does not have, and the graph that the engine makes of it is another.

    Another: other operators or MACs than those that it makes of the raw export, in one of cnnc's artifacts. Where a
    mean became a pooling and nothing else, it has to have fewer layout conversions.
    """
    raw = net["contenders"].get(RAW, {})
    for name in OURS:
        entry = net["contenders"].get(name, {})
        laws = set(entry.get("applied", {})) - ENGINES_OWN
        if laws == {_MEAN}:
            changed = _conversions(entry) < _conversions(raw)
        else:
            changed = any(entry.get(key) != raw.get(key) for key in ("operators", "macs"))
        if laws and changed:
            return True
    return False


def _conversions(entry: Mapping[str, Any]) -> int:
    return int(entry.get("layout_conversions", 0))


def noise_of(net: Mapping[str, Any]) -> float:
    """How many times faster the raw export was than itself, in another process: at least 1."""
    speed = speed_of(net, AGAIN)
    return max(speed, 1 / speed) if speed else 1.0


def ratio_of(net: Mapping[str, Any], peer: str, ours: str) -> float | None:
    """How many times the latency of `ours` that of `peer` is; None unless both ran, in float32."""
    entries = [net["contenders"].get(name, {}) for name in (peer, ours)]
    theirs, own = map(median_of, entries)
    if theirs is None or own is None or any(one.get("difference", 0.0) > LOW_PRECISION for one in entries):
        return None
    return theirs / own


def lead_over(net: Mapping[str, Any], ahead: str, behind: str) -> float | None:
    """How many times faster `ahead` is, if beyond noise: in 6 of 7 rounds, and by more than the raw export is off."""
    ratio = ratio_of(net, behind, ahead)
    if ratio is None or ratio <= noise_of(net):
        return None
    pairs = list(zip(*(net["contenders"][name]["rounds"] for name in (ahead, behind)), strict=False))
    return ratio if sum(fast < slow for fast, slow in pairs) >= _OFTEN * len(pairs) else None
