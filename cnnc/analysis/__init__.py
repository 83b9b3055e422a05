"""What every layer costs: parameters, MACs, memory; convolution against fully connected; the size formula."""

from cnnc.analysis.analyze import analyze, analyze_model
from cnnc.analysis.result import Analysis, FullyConnected, Layer, Totals

__all__ = ["Analysis", "FullyConnected", "Layer", "Totals", "analyze", "analyze_model"]
