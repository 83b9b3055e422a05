"""Measured time of every layer on the engine, and how far each is from what this machine can do (roofline)."""

from cnnc.analysis.timing.ceilings import measure_ceilings
from cnnc.analysis.timing.measure import measure
from cnnc.analysis.timing.result import Ceilings, EngineTime, LayerTime, Timing
from cnnc.analysis.timing.table import print_timing, timing_table

__all__ = [
    "Ceilings",
    "EngineTime",
    "LayerTime",
    "Timing",
    "measure",
    "measure_ceilings",
    "print_timing",
    "timing_table",
]
