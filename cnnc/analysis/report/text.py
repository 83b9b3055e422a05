"""A model's own strings, made harmless in HTML, scripts and the labels of plots; numbers as people read them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from cnnc.analysis.normalization import Normalization
from cnnc.analysis.units import human, short_op

__all__ = [
    "clean",
    "finite",
    "human_float",
    "json_for_script",
    "normalization_text",
    "plot_text",
    "seconds",
    "shorten",
    "size",
]

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """Without control characters, half surrogate pairs and reversals of the writing direction."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shorten(text: str, most: int = 200) -> str:
    """At most that many characters; the middle goes, for names differ at their ends."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def plot_text(text: str, most: int = 80) -> str:
    """For plotly, which reads tags and entities in labels and hover texts."""
    text = shorten(clean(text), most)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def json_for_script(value: Any) -> str:
    """JSON that cannot end the <script> it stands in, or begin a comment there; NaN and infinities become null."""
    text = json.dumps(finite(value), separators=(",", ":"), allow_nan=False)  # ASCII: no U+2028 either
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def finite(value: Any) -> Any:
    """Plain data with None for each number that JSON has no word for."""
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def size(shape: tuple[int, ...] | None) -> str:
    """Without the batch: 64x56x56."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape[1:])) if len(shape) > 1 else str(shape[0]) if shape else "scalar"


def seconds(time: float) -> str:
    """Three digits and the unit: 1.25 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(time) >= scale:
            return f"{time / scale:.3g} {unit}"
    return f"{time / 1e-9:.3g} ns"


def human_float(number: float, unit: str = "") -> str:
    """As `human`, of what may have a fraction: 0.25, 12.5, 61.7 k."""
    if not math.isfinite(number):
        return ""
    return human(round(number), unit) if abs(number) >= 1000 else f"{number:.3g} {unit}".rstrip()


def normalization_text(normalization: Normalization) -> str:
    """Its kind and axes, and how many rows of the table it is, where it is more than this one."""
    rows = "" if normalization.operators == 1 else f" (this row and the next {normalization.operators - 1})"
    return f"{short_op(normalization.kind)} {normalization.text}{rows}"
