"""What each normalization averages over: its axes, and how many values share one mean."""

from cnnc.analysis.normalization.find import normalizations
from cnnc.analysis.normalization.result import Normalization

__all__ = ["Normalization", "normalizations"]
