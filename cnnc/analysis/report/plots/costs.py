"""Where parameters, MACs and time are: by layer, and by kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cnnc.analysis.kinds import KINDS
from cnnc.analysis.layer import Layer
from cnnc.analysis.report.colors import COLORS
from cnnc.analysis.report.measured import layer_times
from cnnc.analysis.report.plots.canvas import Plot, hover, label_height, layer_axis, numbered, plot
from cnnc.analysis.report.text import seconds
from cnnc.analysis.result import Analysis

__all__ = ["costs_by_kind", "costs_by_layer"]


class _Measure(NamedTuple):
    """What is counted; `None` of a layer without it."""

    title: str
    value: Callable[[Layer], float | int | None]
    text: Callable[[float], str]


def _measures(analysis: Analysis) -> list[_Measure]:
    """Those of which the model has any."""
    times = layer_times(analysis)

    def time(layer: Layer) -> float | None:
        return times[layer.output].seconds or None if layer.output in times else None

    every = [
        _Measure("parameters", lambda layer: layer.params, lambda n: f"{int(n):,} parameters"),
        _Measure("MACs", lambda layer: layer.macs, lambda n: f"{int(n):,} MACs"),
        _Measure("time", time, seconds),
    ]
    return [measure for measure in every if any(map(measure.value, analysis.layers))]


def costs_by_layer(analysis: Analysis) -> Plot | None:
    """Bars one above the other, a row a measure, colored by kind."""
    measures = _measures(analysis)
    if not measures:
        return None
    figure = make_subplots(rows=len(measures), shared_xaxes=True, vertical_spacing=0.06)
    places = numbered([layer.name for layer in analysis.layers])
    for row, measure in enumerate(measures, 1):
        for kind in KINDS:
            chosen = [index for index, layer in enumerate(analysis.layers) if layer.kind == kind]
            values = [measure.value(analysis.layers[index]) for index in chosen]
            if any(values):
                figure.add_trace(
                    go.Bar(
                        x=[places[index] for index in chosen],
                        y=values,
                        name=kind,
                        legendgroup=kind,
                        showlegend=_is_first(figure, kind),
                        marker_color=COLORS[kind],
                        marker_line_width=0,
                        hovertext=[
                            hover(analysis.layers[index], measure.text(value or 0))
                            for index, value in zip(chosen, values, strict=True)
                        ],
                        hoverinfo="text",
                    ),
                    row=row,
                    col=1,
                )
        suffix, least = ("s", 0) if measure.title == "time" else ("", 3)
        figure.update_yaxes(
            title=measure.title, row=row, col=1, exponentformat="SI", minexponent=least, ticksuffix=suffix
        )
    layer_axis(figure, places)
    figure.update_xaxes(title="", row=1, col=1)
    figure.update_layout(barmode="overlay", bargap=0.15)
    names = _listed([measure.title for measure in measures])
    return plot(
        "by-layer",
        figure,
        caption="Layers from input to output. Click a kind in the legend to hide it; drag to zoom, double-click to "
        "go back.",
        alt=f"Bars: {names} of every layer, in order; the same figures are in the table of layers.",
        height=140 + 150 * len(measures) + label_height(places),
    )


def costs_by_kind(analysis: Analysis) -> Plot | None:
    """Shares in percent, one column a measure."""
    measures = _measures(analysis)
    kinds = [kind for kind in KINDS if any(layer.kind == kind for layer in analysis.layers)]
    if not measures:
        return None
    figure = make_subplots(cols=len(measures), shared_yaxes=True, horizontal_spacing=0.04)
    for column, measure in enumerate(measures, 1):
        sums = [sum(measure.value(layer) or 0 for layer in analysis.layers if layer.kind == kind) for kind in kinds]
        all_of_it = sum(sums)
        shares = [100 * value / all_of_it for value in sums]
        figure.add_trace(
            go.Bar(
                y=kinds,
                x=shares,
                orientation="h",
                marker_color=[COLORS[kind] for kind in kinds],
                showlegend=False,
                text=[f"{share:.1f}%" if share else "" for share in shares],
                textposition="outside",
                cliponaxis=False,
                hovertext=[
                    f"<b>{kind}</b><br>{measure.text(value)}, {share:.1f}%"
                    for kind, value, share in zip(kinds, sums, shares, strict=True)
                ],
                hoverinfo="text",
            ),
            row=1,
            col=column,
        )
        figure.update_xaxes(title=measure.title, range=[0, 125], row=1, col=column)
    figure.update_xaxes(tickvals=[0, 50, 100], ticktext=["0%", "50%", "100%"])
    figure.update_yaxes(autorange="reversed", gridcolor="rgba(0,0,0,0)")
    return plot(
        "by-kind",
        figure,
        caption="Share of each kind of layer. A weight that several layers read counts at each of them.",
        alt="Bars: share of each kind of layer in parameters and MACs; the exact figures are in the table below.",
        height=140 + 32 * len(kinds),
        least_width=160 + 190 * len(measures),
    )


def _is_first(figure: go.Figure, name: str) -> bool:
    return all(trace.name != name for trace in figure.data)


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
