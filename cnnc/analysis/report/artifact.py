"""What an artifact of cnnc says of itself: what each pass changed, and what was proved.

Anyone can write such metadata: each field is shown only where it has the type it should have.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

import onnx_ir as ir

from cnnc.analysis.report.text import shorten
from cnnc.engine_graph.barriers import barriers_from
from cnnc_runtime.metadata import Metadata

__all__ = ["ArtifactStory", "artifact_story"]

_LONGEST_JSON = 200_000  # characters
_MOST_ROWS = 500

_Rows = tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class ArtifactStory:
    """Tables for the page; empty where the artifact does not say.

    Attributes:
        origin: lines on who compiled what.
        costs: what, before, after.
        applied: pass, number of places.
        declined: pass, reason, number of places.
        engine: what the engine's optimized graph has, of the original and of the artifact.
        barriers: what forces layout conversions in it, the layers, number of conversions.
        proof: lines on how it was proved; empty for an artifact that was not.
        differences: per output: its name, error, error of the original, floor, cosine, same top-1 class.
        rule: which error is accepted, in words.
        report, certificate: as JSON.
    """

    origin: tuple[tuple[str, str], ...]
    costs: _Rows
    applied: _Rows
    declined: _Rows
    engine: _Rows
    barriers: _Rows
    proof: tuple[tuple[str, str], ...]
    differences: _Rows
    rule: str
    report: str
    certificate: str


def artifact_story(model: ir.Model) -> ArtifactStory | None:
    """None where the model is no artifact, or carries neither report nor certificate.

    Raises:
        InvalidInputError: the metadata is malformed.
    """
    metadata = Metadata.from_props(model.metadata_props)
    if metadata is None or (metadata.report is None and metadata.certificate is None):
        return None
    report, certificate = metadata.report or {}, metadata.certificate or {}
    return ArtifactStory(
        origin=(("Source", metadata.source), ("Target", metadata.target), ("Compiled by", f"cnnc {metadata.version}")),
        costs=_costs(report),
        applied=tuple((_text(law), _text(count)) for law, count in _dict(report.get("applied")).items())[:_MOST_ROWS],
        declined=_declined(report),
        engine=_engine(_dict(report.get("fusion"))),
        barriers=_barriers(report),
        proof=_proof(certificate),
        differences=_differences(certificate),
        rule=_rule(certificate),
        report=_pretty(report),
        certificate=_pretty(certificate),
    )


def _costs(report: dict[str, Any]) -> _Rows:
    nodes, before, after = (_dict(report.get(key)) for key in ("nodes", "before", "after"))
    rows = [("nodes", nodes.get("before"), nodes.get("after"))]
    rows += [(key.replace("_", " "), value, after.get(key)) for key, value in before.items()]
    return tuple((name, f"{a:,}", f"{b:,}") for name, a, b in rows if isinstance(a, int) and isinstance(b, int))


def _declined(report: dict[str, Any]) -> _Rows:
    places = [one for key in ("declined", "dropped") for one in _list(report.get(key)) if isinstance(one, dict)]
    counts = Counter((str(one.get("law", "")), str(one.get("reason", ""))) for one in places)
    return tuple((_text(law), _text(reason), str(count)) for (law, reason), count in counts.items())[:_MOST_ROWS]


def _engine(fusion: dict[str, Any]) -> _Rows:
    before, after = (_dict(fusion.get(key)) for key in ("before", "after"))
    names = {
        "nodes": "nodes",
        "layout_conversions": "layout conversions",
        "pooled_conversions": "of these, of one value a channel",
        "unblocked": "convolutions outside the blocked layout",
    }
    rows = [(name, before.get(key), after.get(key)) for key, name in names.items()]
    for key, name in (("fused", "fused"), ("loose", "left on its own")):
        was, now = _dict(before.get(key)), _dict(after.get(key))
        rows += [(f"{name}: {one}", was.get(one, 0), now.get(one, 0)) for one in dict.fromkeys([*was, *now])]
    known = [row for row in rows if isinstance(row[1], int) and isinstance(row[2], int)]
    return tuple((_text(name), f"{was:,}", f"{now:,}") for name, was, now in known)[:_MOST_ROWS]


def _barriers(report: dict[str, Any]) -> _Rows:
    found = barriers_from(report) or ()
    rows = ((_text(one.cause), _text(", ".join(one.layers)), f"{one.conversions:,}") for one in found)
    return tuple(rows)[:_MOST_ROWS]


def _proof(certificate: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    local = _dict(certificate.get("local"))
    rows = [
        ("Exact results from", certificate.get("oracle")),
        ("Ran on", " ".join(filter(None, (_text(certificate.get(key)) for key in ("provider", "optimization"))))),
        ("Largest error, relative", certificate.get("error")),
        ("The original's own error", certificate.get("own_error")),
        ("Compared on", "; ".join(map(str, _list(certificate.get("cases"))))),
        ("Rewrites proved on their own", local.get("proved")),
        ("Open axes without proof", "; ".join(map(str, _list(certificate.get("unproved_axes"))))),
        ("With", ", ".join(f"{key} {value}" for key, value in _dict(certificate.get("versions")).items())),
        *((f"SHA-256 of {key}", value) for key, value in _dict(certificate.get("hashes")).items()),
    ]
    return tuple((str(name), _text(value)) for name, value in rows if _text(value))[:_MOST_ROWS]


def _differences(certificate: dict[str, Any]) -> _Rows:
    keys = ("output", "error", "own_error", "floor")
    found = [one for one in _list(certificate.get("differences")) if isinstance(one, dict)]
    return tuple((*(_text(one.get(key)) for key in keys), *_agreement(one)) for one in found)[:_MOST_ROWS]


def _rule(certificate: dict[str, Any]) -> str:
    factor = _text(certificate.get("factor"))
    return f"Accepted: up to {factor} times the original's own error, and the floor besides." if factor else ""


def _agreement(difference: dict[str, Any]) -> tuple[str, str]:
    cosine, top1 = difference.get("cosine"), difference.get("top1")
    return (
        f"{cosine:.9f}" if isinstance(cosine, (int, float)) else "",
        f"{top1:.0%}" if isinstance(top1, (int, float)) else "",
    )


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return shorten(str(value), 400) if isinstance(value, (str, int)) else ""


def _pretty(plain: dict[str, Any]) -> str:
    try:
        text = json.dumps(plain, indent=2, ensure_ascii=False) if plain else ""
    except RecursionError:  # written by whoever wrote the file
        return "nested too deeply to be shown"
    return text if len(text) <= _LONGEST_JSON else text[:_LONGEST_JSON] + "\n… cut here"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
