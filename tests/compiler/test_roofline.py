"""The roofline: two ceilings, the traffic of a group of layers, and what a layer is told. No test looks at time."""

from __future__ import annotations

import pytest

from cnnc.analysis.timing import ceilings, measure_ceilings
from cnnc.analysis.timing.roofline import bound_of, group_bytes, hint_for
from tests.compiler.timed_nets import MACHINE, Mixed, analyzed


def test_roofline_is_the_lower_of_two_ceilings() -> None:
    assert MACHINE.ridge == 10
    assert MACHINE.roof_seconds(flops=200, moved_bytes=10) == 200 / 100e9  # intensity 20: the peak
    assert MACHINE.roof_seconds(flops=20, moved_bytes=10) == 10 / 10e9  # intensity 2: the bandwidth
    assert bound_of(200, 10, MACHINE) == "compute"
    assert bound_of(20, 10, MACHINE) == "memory"
    assert bound_of(0, 0, MACHINE) is None


def test_traffic_of_fused_layers_has_nothing_between_them() -> None:
    _, analysis = analyzed(Mixed)
    nodes = {str(node.outputs[0].name): node for node in analysis.model.graph}
    conv, norm, relu = (nodes[layer.output] for layer in analysis.layers[:3])
    weights = 16 * 3 * 9 + 4 * 16
    assert group_bytes([conv, norm, relu], analysis.sizes) == 4 * (3 * 256 + weights + 16 * 256)


def test_hints_name_what_keeps_a_layer_from_the_roof() -> None:
    _, analysis = analyzed(Mixed)
    nodes = {str(node.outputs[0].name): node for node in analysis.model.graph}
    layers = {layer.name: layer for layer in analysis.layers if layer.macs}

    def hint(name: str, share: float = 0.1, of_roof: float = 0.1) -> str:
        return hint_for(layers[name], nodes[layers[name].output], 1e-3, share, of_roof)

    assert "depthwise" in hint("depthwise")
    assert "few channels: 3 in" in hint("conv1")
    assert "small map: 1 position" in hint("se.reduce")
    assert hint("right") == "no cause known"
    assert hint("depthwise", share=0.01) == hint("depthwise", of_roof=0.5) == ""


def test_ceilings_are_measured_through_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_CONVOLUTIONS", ((16, 14, 3),))
    monkeypatch.setattr(ceilings, "_MATRIX", 64)
    monkeypatch.setattr(ceilings, "_MOST", 2**20)
    found = measure_ceilings(threads=1)
    assert found.flops_per_second > 0 and found.bytes_per_second > 0
    assert "memory: sum of two tensors of 1 MiB" in found.how
