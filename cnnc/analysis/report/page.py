"""to_html(): the page put together from its parts."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any

from cnnc.analysis.report.artifact import artifact_story
from cnnc.analysis.report.assets import content_security_policy, packed_plotly, require_report
from cnnc.analysis.report.colors import COLORS
from cnnc.analysis.report.columns import layer_table
from cnnc.analysis.report.health import health_table
from cnnc.analysis.report.kernels import first_kernels
from cnnc.analysis.report.summary import facts, kind_rows, tiles
from cnnc.analysis.report.text import clean, human_float, shorten, size
from cnnc.analysis.result import Analysis

if TYPE_CHECKING:
    import jinja2

    from cnnc.analysis.report.plots import Plot

__all__ = ["to_html"]

_PLOTS = (
    *("by-layer", "by-kind", "dense", "roofline", "memory", "field"),
    *("spread", "histograms", "probe", "projection"),
)


def to_html(analysis: Analysis) -> str:
    """One HTML page with everything the analysis found; it loads nothing, and is the same for the same analysis.

    Of the model's weights only those of the first convolution are read, for their picture.

    Raises:
        UsageError: the extra `cnnc[report]` is not installed.
        InvalidInputError: the model is an artifact of cnnc with malformed metadata.
    """
    require_report()
    environment = _environment()
    script, style = _asset("report.js"), _asset("report.css")
    return environment.get_template("page.html.j2").render(
        analysis=analysis,
        title=shorten(analysis.name),
        policy=content_security_policy(script),
        script=script,
        style=style,
        colors=COLORS,
        tiles=tiles(analysis),
        facts=facts(analysis),
        kinds=kind_rows(analysis),
        table=layer_table(analysis),
        dense_layers=[layer for layer in analysis.layers if layer.convolution is not None],
        kernels=first_kernels(analysis.model.graph),
        health=analysis.activations,
        health_table=health_table(analysis.activations) if analysis.activations is not None else None,
        story=artifact_story(analysis.model),
        plots=_plots(analysis),
        plotly=packed_plotly(),
    )


def _plots(analysis: Analysis) -> dict[str, Plot | None]:
    """By id; None where there is nothing to show."""
    from cnnc.analysis.report import plots

    drawn = [
        plots.costs_by_layer(analysis),
        plots.costs_by_kind(analysis),
        plots.against_dense(analysis),
        plots.roofline(analysis),
        plots.memory_timeline(analysis),
        plots.receptive_growth(analysis),
    ]
    if analysis.activations is not None:
        health = analysis.activations
        drawn += [plots.spread(health), plots.histograms(health), plots.probe(health), plots.projection(health)]
    return dict.fromkeys(_PLOTS) | {plot.id: plot for plot in drawn if plot is not None}


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cnnc.analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters.update(size=size, short=shorten, number=human_float)
    return environment


def _printable(value: Any) -> Any:
    """Every string that the template puts out passes here, and is escaped afterwards; markup it leaves alone."""
    return clean(value) if type(value) is str else value


@functools.cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
