"""How the receptive field grows from layer to layer."""

from __future__ import annotations

import plotly.graph_objects as go

from cnnc.analysis.report.colors import CATEGORIES, MUTED
from cnnc.analysis.report.measured import axis_names, input_size, receptive_size
from cnnc.analysis.report.plots.canvas import Plot, hover, label_height, layer_axis, numbered, plot
from cnnc.analysis.result import Analysis

__all__ = ["receptive_growth"]

_DASHES = ("solid", "dot", "dash", "longdash")


def receptive_growth(analysis: Analysis) -> Plot | None:
    """Pixels seen along each axis of the image; one line where all axes are alike."""
    sizes = [receptive_size(layer) for layer in analysis.layers]
    rank = max(map(len, sizes), default=0)
    if not rank:
        return None
    places = numbered([layer.name for layer in analysis.layers])
    columns = {
        name: [size[axis] if axis < len(size) else None for size in sizes] for axis, name in enumerate(axis_names(rank))
    }
    if len({tuple(column) for column in columns.values()}) == 1:
        columns = {" and ".join(columns): next(iter(columns.values()))}
    figure = go.Figure()
    for (name, values), color, dash in zip(columns.items(), CATEGORIES, _DASHES, strict=False):
        texts = [
            hover(layer, f"{name}: {value:,} pixels" if value is not None else "")
            for layer, value in zip(analysis.layers, values, strict=True)
        ]
        figure.add_trace(
            go.Scatter(
                x=places,
                y=values,
                mode="lines+markers" if len(places) <= 100 else "lines",
                line={"color": color, "dash": dash, "shape": "hv"},
                marker={"size": 5},
                name=name,
                hovertext=texts,
                hoverinfo="text",
                showlegend=True,
            )
        )
    layer_axis(figure, places)
    for side in sorted(set(input_size(analysis))):
        figure.add_hline(
            side,
            line={"color": MUTED, "dash": "dash", "width": 1.5},
            annotation_text=f"input: {side:,}",
            annotation_position="top left",
        )
    figure.update_yaxes(title="pixels", rangemode="tozero")
    return plot(
        "field",
        figure,
        caption="Pixels of the input that one value sees, from the first to the last, as in the middle of an image "
        "without end: in a deep network, more than the input has. A mean over the whole map, or a fully connected "
        "layer on it, sees the image as it is.",
        alt="Lines: receptive field of every layer in pixels, in order; the figures are in the table of layers.",
        height=380 + label_height(places),
    )
