"""Measurements for `small_net`: made-up times of its layers, and activations."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from cnnc.analysis import Analysis
from cnnc.analysis.activations import ActivationHealth, measure_activations
from cnnc.analysis.timing.result import Ceilings, LayerTime, Timing
from tests.report.models import NAMES, small_net

__all__ = ["with_everything"]


def with_everything(analysis: Analysis) -> Analysis:
    """The analysis with times, activations, and an operator that nobody knows."""
    return dataclasses.replace(
        analysis,
        uncounted={"NoSuchOp": 3},
        timing=_timing(analysis),
        activations=_health(analysis),
    )


def _timing(analysis: Analysis) -> Timing:
    times = tuple(
        LayerTime(
            output=layer.output,
            name=layer.name,
            op=layer.op,
            seconds=1e-4,
            share=1 / len(analysis.layers),
            kernels=(layer.name,),
            fused_into=None,
            flops=layer.flops,
            moved_bytes=layer.read_bytes + layer.written_bytes,
            flops_per_second=layer.flops / 1e-4 or None,
            bytes_per_second=None,
            bound="memory",
            of_roof=0.5,
            hint="",
        )
        for layer in analysis.layers
    )
    ceilings = Ceilings(flops_per_second=1e11, bytes_per_second=1e10, how="made up")
    return Timing(1, 5, 6e-4, (5e-4, 7e-4), 6e-4, times, (), (), 0.0, ceilings)


def _health(analysis: Analysis) -> ActivationHealth:
    """Measured on the net with harmless names, for the engine reads no half surrogates; then named as this one."""
    names = dict(zip(NAMES, (layer.name for layer in analysis.layers), strict=True))
    found = _measured()
    layers = tuple(
        dataclasses.replace(layer, name=names[layer.name], dead_units=1, units=8, maximum=float("nan"))
        for layer in found.layers
    )
    first = analysis.layers[0].name
    return dataclasses.replace(found, layers=layers, flags=(f"{first}: something is wrong",), classes=(first, "b"))


@functools.cache
def _measured() -> ActivationHealth:
    labels = np.arange(40) % 2
    samples = np.random.default_rng(0).standard_normal((40, 3, 16, 16)) + labels[:, None, None, None]
    return measure_activations(small_net().model, samples.astype(np.float32), labels=labels, threads=1)
