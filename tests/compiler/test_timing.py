"""Time by layer: whose each kernel is, what adds up, and the roofline. No test looks at how long anything took."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from cnnc.analysis import Analysis, analyze_model
from cnnc.analysis.timing import Timing, measure, print_timing
from cnnc.analysis.timing.attribution import Attribution, attribute
from cnnc.analysis.timing.trace import Kernel, engine_graph, kernel_times, middle_mean
from cnnc.artifact import write_model
from cnnc.export import export
from cnnc_passes.pipeline import Target
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session
from tests.compiler.timed_nets import MACHINE, Mixed, Normalized, analyzed
from tests.nets import Residual


def attributed(
    net: type[nn.Module], folder: Path, target: Target | None = None
) -> tuple[Analysis, list[Kernel], Attribution]:
    """With the graph that the engine makes, which is not run."""
    model, analysis = analyzed(net, target)
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


@pytest.mark.parametrize(
    ("target", "stem", "conv2"),
    [
        (None, {"Conv", "BatchNormalization", "Relu"}, {"Conv", "BatchNormalization", "Add", "Relu"}),
        ("onnxruntime", {"Conv", "Relu"}, {"Conv", "Add", "Relu"}),
        ("cpu", {"com.microsoft::FusedConv"}, {"com.microsoft::FusedConv"}),
    ],
)
def test_residual_sum_goes_to_the_second_convolution(
    tmp_path: Path, target: Target | None, stem: set[str], conv2: set[str]
) -> None:
    analysis, _, found = attributed(Residual, tmp_path, target)
    groups = {group.layers[0]: {analysis_op(analysis, one) for one in group.layers} for group in found.groups}
    names = {layer.output: layer.name for layer in analysis.layers}
    by_name = {names[main]: ops for main, ops in groups.items()}
    assert (by_name["stem"], by_name["conv2"]) == (stem, conv2)
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


@pytest.mark.parametrize("target", ["onnxruntime", "cpu"])
def test_an_artifact_is_timed_by_its_path(tmp_path: Path, target: Target) -> None:
    model, analysis = analyzed(Residual, target)
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
