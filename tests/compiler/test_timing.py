"""Time by layer: whose each kernel is, what adds up, and the roofline. No test looks at how long anything took."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from rich.console import Console
from torch import nn

from cnnc.analysis import Analysis, analyze_model
from cnnc.analysis.timing import Ceilings, Timing, ceilings, measure, measure_ceilings, print_timing
from cnnc.analysis.timing.attribution import Attribution, attribute
from cnnc.analysis.timing.roofline import bound_of, group_bytes, hint_for
from cnnc.analysis.timing.trace import Kernel, engine_graph, kernel_times, middle_mean
from cnnc.artifact import write_model
from cnnc.export import export
from cnnc_passes.pipeline import optimize
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session
from tests.nets import Residual

MACHINE = Ceilings(flops_per_second=100e9, bytes_per_second=10e9, how="as an example")


class Squeeze(nn.Module):
    """Squeeze and excitation: scales each channel by what two small convolutions make of its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Mixed(nn.Module):
    """Conv-BN-ReLU, depthwise, squeeze and excitation, a sum, a concatenation, a classifier, hard swish."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.depthwise, self.bn2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.act = nn.ReLU6()
        self.se, self.left, self.right = Squeeze(), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.fc, self.swish = nn.Linear(32, 10), nn.Hardswish()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = x + self.se(self.act(self.bn2(self.depthwise(x))))
        x = torch.cat([self.left(x), torch.relu(self.right(x))], 1)
        return self.swish(self.fc(x.mean((2, 3))))


class Normalized(nn.Module):
    """A BatchNorm that no convolution can take in, and a ReLU that a convolution after it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 16, 1), nn.BatchNorm2d(32), nn.Conv2d(32, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.b(torch.relu(self.norm(torch.cat([x, x], 1))))


@functools.cache
def analyzed(net: type[nn.Module], rewritten: bool = False) -> tuple[ir.Model, Analysis]:
    if rewritten:
        model = analyzed(net)[0].clone()
        optimize(model)
        return model, analyze_model(model, name="net")
    model = export(net().eval(), (torch.zeros(2, 3, 16, 16),))
    return model, analyze_model(model, name="net")


def attributed(
    net: type[nn.Module], folder: Path, rewritten: bool = False
) -> tuple[Analysis, list[Kernel], Attribution]:
    """With the graph that the engine makes, which is not run."""
    model, analysis = analyzed(net, rewritten)
    write_model(model, folder / "net.onnx")
    open_session(str(folder / "net.onnx"), "net", CPU, 1, "all", optimized=str(folder / "optimized.onnx"))
    kernels = engine_graph(folder / "optimized.onnx")
    return analysis, kernels, attribute(kernels, analysis)


def fused(analysis: Analysis, found: Attribution) -> dict[str, str]:
    """`name op` of each layer that is fused -> the name of the main one."""
    layers = {layer.output: layer for layer in analysis.layers}
    return {
        f"{layers[other].name} {layers[other].op}": layers[group.layers[0]].name
        for group in found.groups
        for other in group.layers[1:]
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, list[Kernel], Attribution]:
    return attributed(Mixed, tmp_path_factory.mktemp("mixed"))


def test_convolution_normalization_and_activation_are_one(
    mixed: tuple[Analysis, list[Kernel], Attribution],
) -> None:
    analysis, _, found = mixed
    assert fused(analysis, found) == {
        "bn1 BatchNormalization": "conv1",
        "relu Relu": "conv1",
        "bn2 BatchNormalization": "depthwise",
        "act Clip": "depthwise",
        "se Relu": "se.reduce",
        "se Sigmoid": "se.expand",
        "relu_2 Relu": "right",
    }


def test_every_layer_has_a_kernel_and_every_kernel_an_owner(
    mixed: tuple[Analysis, list[Kernel], Attribution],
) -> None:
    analysis, kernels, found = mixed
    assert sorted(output for group in found.groups for output in group.layers) == sorted(
        layer.output for layer in analysis.layers
    )
    indices = [*(index for group in found.groups for index in group.kernels), *found.layout, *found.shapes]
    assert sorted(indices) == list(range(len(kernels)))
    assert not found.unknown
    assert {kernels[index].op for index in found.layout} == {"ReorderInput", "ReorderOutput"}


def test_a_layer_that_the_engine_takes_apart_has_all_its_kernels(
    mixed: tuple[Analysis, list[Kernel], Attribution],
) -> None:
    _, kernels, found = mixed
    swish = next(group for group in found.groups if group.layers == ("hardswish",))
    assert [kernels[index].op for index in swish.kernels] == ["HardSigmoid", "Mul"]


@pytest.mark.parametrize("rewritten", [False, True])
def test_residual_sum_goes_to_the_second_convolution(tmp_path: Path, rewritten: bool) -> None:
    analysis, _, found = attributed(Residual, tmp_path, rewritten)
    groups = {group.layers[0]: {analysis_op(analysis, one) for one in group.layers} for group in found.groups}
    names = {layer.output: layer.name for layer in analysis.layers}
    by_name = {names[main]: ops for main, ops in groups.items()}
    if rewritten:
        assert by_name["conv2"] == {"com.microsoft::FusedConv"}
    else:
        assert by_name["stem"] == {"Conv", "BatchNormalization", "Relu"}
        assert by_name["conv2"] == {"Conv", "BatchNormalization", "Add", "Relu"}
    assert not found.unknown


def analysis_op(analysis: Analysis, output: str) -> str:
    return next(layer.op for layer in analysis.layers if layer.output == output)


def test_an_activation_before_a_convolution_is_not_that_convolutions(tmp_path: Path) -> None:
    analysis, kernels, found = attributed(Normalized, tmp_path)
    assert fused(analysis, found) == {"relu Relu": "norm"}
    norm = next(group for group in found.groups if len(group.layers) == 2)
    assert [kernels[index].name.endswith("_bn_nchwc") for index in norm.kernels] == [True]


def test_a_kernel_that_no_rule_knows_is_said_to_be_so(mixed: tuple[Analysis, list[Kernel], Attribution]) -> None:
    analysis, kernels, _ = mixed
    stranger = Kernel("new", "Mystery", (), (), activation=False)
    assert attribute([*kernels, stranger], analysis).unknown == (len(kernels),)


def event(name: str, op: str, ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": {"op_name": op}}


def run(*events: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*events, {"cat": "Session", "name": "model_run", "ts": 0, "dur": 0}]


def kernel(name: str, op: str) -> Kernel:
    return Kernel(name, op, (), (), activation=False)


def test_warm_up_runs_and_the_inside_of_a_branch_do_not_count() -> None:
    graph = [kernel("a", "Conv"), kernel("a", "If")]  # the name is not unique: the order tells
    inside = event("b", "Relu", ts=12, dur=4)
    events = [
        *run(event("a", "Conv", 0, 900), inside, event("a", "If", 11, 900)),
        *run(event("a", "Conv", 0, 10), inside, event("a", "If", 11, 8)),
        *run(event("a", "Conv", 0, 12), inside, event("a", "If", 11, 6)),
    ]
    timed = kernel_times(events, graph, runs=2)
    assert [(one.op, one.seconds) for one in timed] == [("Conv", pytest.approx(11e-6)), ("If", pytest.approx(7e-6))]
    assert [one.fastest for one in timed] == [10e-6, 6e-6]


def test_the_name_tells_the_node_and_not_the_order_of_the_file() -> None:
    events = run(event("second", "Conv", 0, 10), event("first", "Conv", 11, 5))
    timed = kernel_times(events, [kernel("first", "Conv"), kernel("second", "Conv")], runs=1)
    assert [one.seconds for one in timed] == [pytest.approx(5e-6), pytest.approx(10e-6)]


def test_a_kernel_outside_the_graph_is_kept() -> None:
    events = run(event("a", "Conv", 0, 10), event("x", "Memcpy", 11, 5), event("x", "Memcpy", 17, 5))
    timed = kernel_times(events, [kernel("a", "Conv")], runs=1)
    assert [(one.title, one.seconds) for one in timed] == [
        ("Conv a", pytest.approx(10e-6)),
        ("Memcpy x", pytest.approx(10e-6)),
    ]


def test_middle_mean_is_deaf_to_outliers() -> None:
    assert middle_mean([3, 1, 2, 1000]) == 2.5
    assert middle_mean([7]) == 7


@pytest.fixture(scope="module")
def timing() -> Timing:
    model, analysis = analyzed(Mixed)
    return measure(model, analysis, threads=1, runs=5, ceilings=MACHINE)


def test_every_layer_is_timed_or_fused(timing: Timing) -> None:
    main = [layer for layer in timing.layers if layer.fused_into is None]
    assert {layer.name for layer in main if layer.op == "Conv"} >= {"conv1", "depthwise", "se.reduce", "left", "right"}
    assert all(layer.kernels and layer.seconds >= 0 for layer in timing.layers)
    assert all(layer.seconds == 0 and layer.bound is None for layer in timing.layers if layer.fused_into is not None)
    assert timing.latency_range[0] <= timing.latency_seconds <= timing.latency_range[1]
    assert timing.latency_range[0] > 0 and timing.sum_seconds > 0


def test_shares_add_up_to_one(timing: Timing) -> None:
    assert timing.unattributed == () and timing.unattributed_seconds == 0
    assert sum(row.share for row in timing.layers) + sum(row.share for row in timing.engine) == pytest.approx(1)
    assert timing.sum_error == timing.sum_seconds / timing.latency_seconds - 1


def test_what_the_engine_adds_is_listed_with_the_layer_it_feeds(timing: Timing) -> None:
    layout = [row for row in timing.engine if row.purpose == "layout"]
    assert any(row.kernel.startswith("ReorderInput") and row.feeds == ("left", "right") for row in layout)
    assert all(row.feeds for row in layout)


def test_timing_is_plain_data_and_a_table(timing: Timing) -> None:
    document = json.loads(json.dumps(timing.to_dict()))
    assert {"latency_seconds", "sum_seconds", "sum_error", "layers", "engine", "ceilings"} <= set(document)
    console = Console(width=160, record=True, file=io.StringIO())
    print_timing(timing, console)
    text = console.export_text()
    assert "fused into conv1" in text
    assert "engine: layout for left and 1 more" in text
    assert "kernels add up to" in text and MACHINE.how in text


def test_an_artifact_is_timed_by_its_path(tmp_path: Path) -> None:
    model, analysis = analyzed(Residual, rewritten=True)
    write_model(model, tmp_path / "net.onnx")
    timing = measure(tmp_path / "net.onnx", analysis, threads=1, runs=2, ceilings=MACHINE)
    assert [layer.name for layer in timing.layers if layer.fused_into is None][:3] == ["stem", "conv1", "conv2"]
    assert timing.unattributed == ()
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_errors_name_the_file_and_the_argument(tmp_path: Path) -> None:
    model, analysis = analyzed(Residual)
    with pytest.raises(InvalidInputError, match=r"missing\.onnx: no such file"):
        measure(tmp_path / "missing.onnx", analysis)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x0a" * 100)
    with pytest.raises(InvalidInputError, match="net"):  # raised in the child
        measure(damaged, analysis, runs=1, ceilings=MACHINE)
    other = analyze_model(export(nn.Conv2d(3, 4, 1), {"input": torch.zeros(2, 3, 16, 16)}), name="net")
    write_model(model, tmp_path / "net.onnx")
    with pytest.raises(InvalidInputError, match="input 'x' is not in the analysis"):
        measure(tmp_path / "net.onnx", other, runs=1, ceilings=MACHINE)
    with pytest.raises(UsageError, match="`runs` is 0"):
        measure(model, analysis, runs=0)


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
