"""What every layer costs: parameters, MACs, memory; convolution against fully connected; geometry; time."""

from cnnc.analysis.analyze import analyze, analyze_model
from cnnc.analysis.formats import SCHEMA_VERSION
from cnnc.analysis.kinds import KINDS
from cnnc.analysis.layer import ConvolutionForm, FullyConnected, Layer
from cnnc.analysis.normalization import Normalization
from cnnc.analysis.result import Analysis, KindTotals, Totals

__all__ = [
    "KINDS",
    "SCHEMA_VERSION",
    "Analysis",
    "ConvolutionForm",
    "FullyConnected",
    "KindTotals",
    "Layer",
    "Normalization",
    "Totals",
    "analyze",
    "analyze_model",
]
