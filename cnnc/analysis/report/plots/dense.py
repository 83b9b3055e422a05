"""Convolution against fully connected: the parameters of each, on a logarithmic scale."""

from __future__ import annotations

import plotly.graph_objects as go

from cnnc.analysis.report.colors import ACCENT, COLORS
from cnnc.analysis.report.plots.canvas import Plot, hover, label_height, layer_axis, numbered, plot
from cnnc.analysis.report.text import human_float
from cnnc.analysis.result import Analysis

__all__ = ["against_dense"]


def against_dense(analysis: Analysis) -> Plot | None:
    """A line for every convolution, from its own parameters up to those of its fully connected layer."""
    pairs = [
        (index, layer, layer.fully_connected)
        for index, layer in enumerate(analysis.layers)
        if layer.fully_connected and layer.params
    ]
    if not pairs:
        return None
    names = numbered([layer.name for layer in analysis.layers])
    places = [names[index] for index, _, _ in pairs]
    texts = [
        hover(
            layer,
            f"{layer.params:,} parameters",
            f"{dense.params:,} fully connected",
            f"{human_float(layer.ratio or 0)} times as many",
        )
        for _, layer, dense in pairs
    ]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[x for place in places for x in (place, place, None)],
            y=[y for _, layer, dense in pairs for y in (layer.params, dense.params, None)],
            mode="lines",
            line={"color": "rgba(128,134,145,0.6)", "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    for name, color, symbol, size, values in (
        ("fully connected", COLORS["fully connected"], "square", 11, [dense.params for _, _, dense in pairs]),
        ("convolution", ACCENT, "circle", 9, [layer.params for _, layer, _ in pairs]),
    ):
        marker = {"color": color, "symbol": symbol, "size": size if len(pairs) <= 100 else size - 4}
        figure.add_trace(
            go.Scatter(x=places, y=values, mode="markers", name=name, marker=marker, hovertext=texts, hoverinfo="text")
        )
    layer_axis(figure, places)
    if not isinstance(places[0], str):
        figure.update_xaxes(range=[0, len(analysis.layers) + 1])
    figure.update_yaxes(type="log", title="parameters", exponentformat="SI", minexponent=2, dtick=1)
    return plot(
        "dense",
        figure,
        caption="Each convolution and the fully connected layer that connects every input value to every output value.",
        alt=f"Parameters of {len(pairs)} convolutions and of the fully connected layers they stand for, log scale.",
        height=400 + label_height(places),
    )
