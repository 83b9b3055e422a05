"""What a network's layers do on real data: spread, dead and saturated units, symmetry, and what they tell apart."""

from cnnc.analysis.activations.measure import measure_activations
from cnnc.analysis.activations.projection import Projection
from cnnc.analysis.activations.result import ActivationHealth, Histogram, LayerActivations
from cnnc.analysis.activations.table import activation_lines, print_activations

__all__ = [
    "ActivationHealth",
    "Histogram",
    "LayerActivations",
    "Projection",
    "activation_lines",
    "measure_activations",
    "print_activations",
]
