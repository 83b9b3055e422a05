"""How much memory activations take while each layer runs."""

from __future__ import annotations

import plotly.graph_objects as go

from cnnc.analysis.report.colors import ACCENT, COLORS
from cnnc.analysis.report.plots.canvas import Plot, label_height, layer_axis, named, plot
from cnnc.analysis.report.text import plot_text
from cnnc.analysis.result import Analysis
from cnnc.analysis.units import human

__all__ = ["memory_timeline"]


def memory_timeline(analysis: Analysis) -> Plot | None:
    """Live bytes in the engine's order of execution, the peak marked."""
    timeline = analysis.memory.timeline
    if not timeline:
        return None
    places = named([moment.layer for moment in timeline])
    live = [moment.live_bytes for moment in timeline]
    peak = live.index(max(live))
    texts = [f"<b>{plot_text(moment.layer)}</b><br>{human(moment.live_bytes, 'B')} alive" for moment in timeline]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=places,
            y=live,
            mode="lines",
            line={"shape": "hvh", "color": ACCENT, "width": 1.5},
            fill="tozeroy",
            fillcolor="rgba(43,127,184,0.25)",
            hovertext=texts,
            hoverinfo="text",
            showlegend=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[places[peak]],
            y=[live[peak]],
            mode="markers",
            marker={"color": COLORS["fully connected"], "size": 11, "symbol": "diamond"},
            name=f"peak: {human(live[peak], 'B')}, {plot_text(timeline[peak].layer, 40)}",
            hovertext=[texts[peak]],
            hoverinfo="text",
            showlegend=True,
        )
    )
    layer_axis(figure, places)
    figure.update_xaxes(title="step of execution")
    figure.update_yaxes(title="live activations", exponentformat="SI", ticksuffix="B", rangemode="tozero")
    return plot(
        "memory",
        figure,
        caption="Activations alive while each operator runs, in the engine's order of execution: its inputs, its "
        "outputs, and what later ones still have to read. Weights come on top.",
        alt=f"Live bytes over the execution; the peak is {human(live[peak], 'B')}.",
        height=380 + label_height(places),
    )
