"""Roofline: FLOPs per byte against attained FLOP/s, below what the machine can do.

Williams, Waterman and Patterson, Roofline: an insightful visual performance model (2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from cnnc.analysis.kinds import KINDS
from cnnc.analysis.layer import Layer
from cnnc.analysis.report.colors import COLORS, MUTED, SYMBOLS
from cnnc.analysis.report.measured import layer_times
from cnnc.analysis.report.plots.canvas import Plot, hover, label_height, layer_axis, numbered, plot
from cnnc.analysis.report.text import human_float, seconds
from cnnc.analysis.result import Analysis

if TYPE_CHECKING:
    from cnnc.analysis.timing.result import Ceilings, LayerTime

__all__ = ["roofline"]


def roofline(analysis: Analysis) -> Plot | None:
    """A point a layer. Without measured times, the intensities alone, in the order of the layers."""
    times = layer_times(analysis)
    timed = [
        (layer, times[layer.output])
        for layer in analysis.layers
        if layer.output in times and times[layer.output].flops_per_second and times[layer.output].moved_bytes
    ]
    if analysis.timing is not None and timed:
        return _attained(timed, analysis.timing.ceilings)
    return _intensities(analysis) if any(layer.flops and layer.intensity for layer in analysis.layers) else None


def _attained(timed: Sequence[tuple[Layer, LayerTime]], roof: Ceilings) -> Plot:
    figure = go.Figure(_roof([_intensity(time) for _, time in timed], roof))
    for kind in KINDS:
        chosen = [(layer, time) for layer, time in timed if layer.kind == kind]
        texts = [
            hover(
                layer,
                f"{human_float(_intensity(time))} FLOPs per byte, in {seconds(time.seconds)}",
                f"{human_float(time.flops_per_second or 0, 'FLOP/s')}, {time.of_roof or 0:.0%} of the roof",
            )
            for layer, time in chosen
        ]
        if chosen:
            intensities = [_intensity(time) for _, time in chosen]
            figure.add_trace(_points(kind, intensities, [time.flops_per_second for _, time in chosen], texts))
    figure.update_xaxes(type="log", title="arithmetic intensity, FLOPs per byte", exponentformat="SI", dtick=1)
    figure.update_yaxes(type="log", title="attained FLOP/s", exponentformat="SI", dtick=1)
    return plot(
        "roofline",
        figure,
        caption="Each layer by the FLOPs it does per byte it moves, and the FLOP/s it attained; what the engine fuses "
        "into it counts with it. The line is the machine's roof: its bandwidth on the slope, its FLOP/s on top. Above "
        "it are layers whose values were still in the cache.",
        alt="Scatter: arithmetic intensity against attained FLOP/s of every timed layer; figures in the table.",
        height=480,
    )


def _intensity(time: LayerTime) -> float:
    return time.flops / time.moved_bytes


def _roof(intensities: Sequence[float], roof: Ceilings) -> go.Scatter:
    ends = [min(*intensities, roof.ridge) / 2, roof.ridge, max(*intensities, roof.ridge) * 2]
    return go.Scatter(
        x=ends,
        y=[min(roof.flops_per_second, at * roof.bytes_per_second) for at in ends],
        mode="lines",
        name="roof",
        line={"color": MUTED, "width": 2, "dash": "dash"},
        hovertext=f"{human_float(roof.bytes_per_second, 'B/s')}, {human_float(roof.flops_per_second, 'FLOP/s')}",
        hoverinfo="text",
    )


def _intensities(analysis: Analysis) -> Plot:
    figure = go.Figure()
    places = numbered([layer.name for layer in analysis.layers])
    for kind in KINDS:
        chosen = [
            (place, layer)
            for place, layer in zip(places, analysis.layers, strict=True)
            if layer.kind == kind and layer.flops and layer.intensity
        ]
        texts = [hover(layer, f"{human_float(layer.intensity or 0)} FLOPs per byte") for _, layer in chosen]
        if chosen:
            intensities = [layer.intensity for _, layer in chosen]
            figure.add_trace(_points(kind, [place for place, _ in chosen], intensities, texts))
    layer_axis(figure, places)
    figure.update_yaxes(type="log", title="FLOPs per byte", exponentformat="SI", dtick=1)
    return plot(
        "roofline",
        figure,
        caption="No times were measured, so these are the intensities alone: FLOPs per byte that a layer reads or "
        "writes. A layer high up is limited by arithmetic, one low down by memory.",
        alt="Scatter: arithmetic intensity of every layer, in order; the figures are in the table of layers.",
        height=400 + label_height(places),
    )


def _points(kind: str, x: Sequence[Any], y: Sequence[float | None], texts: Sequence[str]) -> go.Scatter:
    marker = {"color": COLORS[kind], "symbol": SYMBOLS[kind], "size": 9 if len(x) <= 100 else 6}
    return go.Scatter(x=x, y=y, mode="markers", name=kind, marker=marker, hovertext=list(texts), hoverinfo="text")
