"""What was measured on real data: histograms, spread, what a linear classifier can read off, and the last features."""

from __future__ import annotations

import itertools
import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cnnc.analysis.activations.result import ActivationHealth, LayerActivations
from cnnc.analysis.report.colors import ACCENT, CATEGORIES, MUTED, SYMBOLS
from cnnc.analysis.report.plots.canvas import Plot, label_height, layer_axis, named, plot
from cnnc.analysis.report.text import plot_text

__all__ = ["histograms", "probe", "projection", "spread"]

_MOST_HISTOGRAMS = 24
_ACROSS = 4
_MOST_CLASSES = 20


def histograms(health: ActivationHealth) -> Plot | None:
    """A small histogram a layer; of many layers some, evenly over the depth."""
    layers = [layer for layer in health.layers if layer.histogram.counts]
    if not layers:
        return None
    step = max(1.0, (len(layers) - 1) / (_MOST_HISTOGRAMS - 1))
    chosen = [layers[round(index * step)] for index in range(min(len(layers), _MOST_HISTOGRAMS))]
    across = min(_ACROSS, len(chosen))
    down = math.ceil(len(chosen) / across)
    titles = [plot_text(layer.name, 22) for layer in chosen]
    figure = make_subplots(
        rows=down, cols=across, subplot_titles=titles, horizontal_spacing=0.05, vertical_spacing=0.45 / down
    )
    for index, layer in enumerate(chosen):
        figure.add_trace(_bars(layer), row=index // across + 1, col=index % across + 1)
    figure.update_yaxes(showticklabels=False, rangemode="tozero")
    figure.update_xaxes(nticks=4)
    figure.update_annotations(font_size=12)
    figure.update_layout(bargap=0, showlegend=False)
    some = f" These are {len(chosen)} of {len(layers)} layers; the table has all." if len(chosen) < len(layers) else ""
    return plot(
        "histograms",
        figure,
        caption=f"Values that each layer put out, on axes of its own.{some}",
        alt="Histograms of the activations of the layers; mean, deviation and range are in the table below.",
        height=90 + 150 * down,
        least_width=190 * across,
    )


def _bars(layer: LayerActivations) -> go.Bar:
    counts, edges = layer.histogram.counts, layer.histogram.edges
    total = sum(counts) or 1
    return go.Bar(
        x=[(low + high) / 2 for low, high in itertools.pairwise(edges)],
        y=list(counts),
        width=[high - low for low, high in itertools.pairwise(edges)],
        marker={"color": ACCENT, "line": {"width": 0}},
        hovertext=[
            f"<b>{plot_text(layer.name)}</b><br>{low:.3g} to {high:.3g}: {count / total:.1%}"
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ],
        hoverinfo="text",
    )


def spread(health: ActivationHealth) -> Plot | None:
    """Mean and one standard deviation either way, over the depth."""
    if not health.layers:
        return None
    places = named([layer.name for layer in health.layers])
    texts = [
        f"<b>{plot_text(layer.name)}</b><br>mean {layer.mean:.3g}, standard deviation {layer.std:.3g}"
        for layer in health.layers
    ]
    figure = go.Figure(
        go.Scatter(
            x=places,
            y=[layer.mean for layer in health.layers],
            error_y={"type": "data", "array": [layer.std for layer in health.layers], "thickness": 1.5},
            mode="markers",
            marker={"color": ACCENT, "size": 7 if len(places) <= 100 else 4},
            hovertext=texts,
            hoverinfo="text",
        )
    )
    layer_axis(figure, places)
    figure.update_yaxes(title="mean ± std")
    return plot(
        "spread",
        figure,
        caption="Mean of each layer's output, and one standard deviation either way. Where the bars shrink to nothing "
        "or grow from layer to layer, the signal is lost.",
        alt="Mean and standard deviation of every layer's output, in order; the figures are in the table below.",
        height=360 + label_height(places),
    )


def probe(health: ActivationHealth) -> Plot | None:
    """Accuracy of a linear classifier on the output of each layer."""
    probed = [layer for layer in health.layers if layer.probe is not None]
    if not probed:
        return None
    places = named([layer.name for layer in probed])
    accuracies = [100 * (layer.probe or 0) for layer in probed]
    texts = [
        f"<b>{plot_text(layer.name)}</b><br>{accuracy:.1f}%" for layer, accuracy in zip(probed, accuracies, strict=True)
    ]
    figure = go.Figure(
        go.Scatter(x=places, y=accuracies, mode="lines+markers", line_color=ACCENT, hovertext=texts, hoverinfo="text")
    )
    layer_axis(figure, places)
    for name, value in (("input", health.input_probe), ("chance", health.chance)):
        if value is not None:
            line = {"color": MUTED, "dash": "dash", "width": 1.5}
            figure.add_hline(
                100 * value, line=line, annotation_text=f"{name}: {value:.1%}", annotation_position="top left"
            )
    figure.update_yaxes(title="accuracy", ticksuffix="%", range=[0, 112], dtick=20)
    return plot(
        "probe",
        figure,
        caption="Accuracy of a linear classifier fitted on each layer's output, tested on other samples.",
        alt="Line: accuracy of a linear classifier by layer; the figures are in the table below.",
        height=360 + label_height(places),
    )


def projection(health: ActivationHealth) -> Plot | None:
    """The last features in two dimensions, colored by class; classes beyond the twentieth are one color."""
    found = health.projection
    if found is None or not found.points:
        return None
    labels = found.labels or (0,) * len(found.points)
    symbols = tuple(SYMBOLS.values())
    figure = go.Figure()
    for label in sorted(set(labels)):
        points = [point for point, other in zip(found.points, labels, strict=True) if other == label]
        name = health.classes[label] if 0 <= label < len(health.classes) else str(label) if found.labels else "samples"
        is_own = 0 <= label < _MOST_CLASSES
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                mode="markers",
                name=plot_text(name, 24),
                marker={
                    "color": CATEGORIES[label % len(CATEGORIES)] if is_own else MUTED,
                    "symbol": symbols[label % len(symbols)] + ("-open" if label >= len(symbols) else "")
                    if is_own
                    else "x",
                    "size": 6,
                    "opacity": 0.8,
                },
                hovertext=plot_text(name),
                hoverinfo="text",
                showlegend=bool(found.labels),
            )
        )
    across, up = found.explained
    figure.update_xaxes(title=f"first component, {across:.0%} of the variance")
    figure.update_yaxes(title=f"second component, {up:.0%}", scaleanchor="x")
    return plot(
        "projection",
        figure,
        caption=f"Each sample's features at {found.layer}, on their first two principal components.",
        alt="Scatter: the samples' last features in two dimensions, by class.",
        height=520,
    )
