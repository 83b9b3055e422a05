"""What all plots have in common: no ground of their own, text that the page colors, layers along the x axis."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from cnnc.analysis.layer import Layer
from cnnc.analysis.report.colors import ACCENT, MUTED
from cnnc.analysis.report.text import json_for_script, plot_text

__all__ = ["FAINT", "Plot", "hover", "label_height", "layer_axis", "named", "numbered", "plot"]

FAINT = "rgba(128,134,145,0.25)"  # grid lines, on light and dark
_TEXT = "#6b727b"  # of a plot saved as a picture; in the page, report.css has the say
_FONT = "system-ui, sans-serif"
_MOST_NAMES = 80  # layers; beyond that the axis counts them


@dataclasses.dataclass(frozen=True)
class Plot:
    """One plot of the page.

    Attributes:
        id: in the page.
        caption: what it shows, and how to read it.
        alt: what it shows, for who cannot see it; the figures are in the tables.
        data: traces and layout as JSON for a <script>.
        height: in CSS pixels.
        least_width: in CSS pixels; on a narrower screen it scrolls sideways.
    """

    id: str
    caption: str
    alt: str
    data: str
    height: int
    least_width: int


def plot(id: str, figure: go.Figure, *, caption: str, alt: str, height: int, least_width: int = 0) -> Plot:
    """The figure in the page's manner."""
    font = {"family": _FONT, "size": 12, "color": _TEXT}
    figure.update_layout(
        template="none",
        font=font,
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 64, "r": 16, "t": 48, "b": 48},
        hoverlabel={"font": font, "align": "left"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": ACCENT},
        hovermode="closest",
    )
    axis = {"gridcolor": FAINT, "zerolinecolor": FAINT, "automargin": True, "title_standoff": 10}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    plain = figure.to_plotly_json()
    return Plot(
        id, caption, alt, json_for_script({"data": plain["data"], "layout": plain["layout"]}), height, least_width
    )


def numbered(names: Sequence[str]) -> list[Any]:
    """Where layers stand on the x axis: at `3 conv2`, numbered as in the table; at 3 where there are too many."""
    if len(names) > _MOST_NAMES:
        return list(range(1, len(names) + 1))
    return [plot_text(f"{number} {name}", 24) for number, name in enumerate(names, 1)]


def named(names: Sequence[str]) -> list[Any]:
    """The same for what the table numbers otherwise: at `relu`, a second one of that name at `relu (2)`."""
    if len(names) > _MOST_NAMES:
        return list(range(1, len(names) + 1))
    seen: Counter[str] = Counter()
    places = []
    for name in names:
        label = plot_text(name, 20)
        seen[label] += 1
        places.append(f"{label} ({seen[label]})" if seen[label] > 1 else label)
    return places


def label_height(places: Sequence[Any]) -> int:
    """Pixels that a plot needs below it for names that stand upright: where there are too many for one line."""
    return 110 if len(places) > 14 and isinstance(places[0], str) else 0


def layer_axis(figure: go.Figure, places: Sequence[Any], **where: int) -> None:
    """Make the x axis one of layers, all of them, in their order."""
    figure.update_xaxes(showgrid=False, **where)
    if places and isinstance(places[0], str):
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(places), **where)
        figure.update_xaxes(range=[-0.6, len(places) - 0.4], **where)
    else:
        figure.update_xaxes(title="layer", range=[0, len(places) + 1], exponentformat="none", **where)


def hover(layer: Layer, *lines: str) -> str:
    """The layer's name, operator and kind, then the lines."""
    op = layer.op.rpartition("::")[2]
    return "<br>".join([f"<b>{plot_text(layer.name)}</b>", plot_text(f"{op}, {layer.kind}"), *lines])
