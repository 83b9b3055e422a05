"""The plots of the report: each file has one function, analysis -> `Plot`, or None where there is nothing to show."""

from cnnc.analysis.report.plots.activations import histograms, probe, projection, spread
from cnnc.analysis.report.plots.canvas import Plot
from cnnc.analysis.report.plots.costs import costs_by_kind, costs_by_layer
from cnnc.analysis.report.plots.dense import against_dense
from cnnc.analysis.report.plots.field import receptive_growth
from cnnc.analysis.report.plots.memory import memory_timeline
from cnnc.analysis.report.plots.roofline import roofline

__all__ = [
    "Plot",
    "against_dense",
    "costs_by_kind",
    "costs_by_layer",
    "histograms",
    "memory_timeline",
    "probe",
    "projection",
    "receptive_growth",
    "roofline",
    "spread",
]
