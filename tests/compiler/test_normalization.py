"""What normalizations average over: as the gradient of PyTorch's modules has it, and of operators by hand."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable

import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper
from rich.console import Console
from torch import nn

from cnnc.analysis import Analysis, Layer, analyze_model
from cnnc.analysis.normalization import Normalization
from cnnc.analysis.report.columns import layer_table
from cnnc.analysis.table import print_analysis
from cnnc.export import export
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.pipeline import optimize
from tests.contract.graphs import node

STORED = "stored mean and variance of each channel: nothing is averaged at run time"


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of maps, as ConvNeXt has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Rectified(nn.Module):
    """A normalization and a ReLU behind it."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(x))


def analyzed(module: nn.Module, *shape: int) -> Analysis:
    """Of the graph for inputs (batch, *shape)."""
    return analyze_model(export(module.eval(), (torch.zeros(2, *shape),)), name="net")


def normalizing(analysis: Analysis) -> list[tuple[int, Layer, Normalization]]:
    return [(place, one, one.normalization) for place, one in enumerate(analysis.layers) if one.normalization]


CASES: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, ...], str, int]] = {
    "batch": (lambda: nn.BatchNorm2d(6), "BatchNormalization", (), STORED, 1),
    "layer": (
        lambda: nn.LayerNorm((6, 4, 5)), "LayerNormalization", (1, 2, 3),
        "over C, H, W (axes 1, 2, 3), for each sample", 1,
    ),
    "layer over maps": (
        lambda: nn.LayerNorm((4, 5)), "LayerNormalization", (2, 3),
        "over H, W (axes 2, 3), for each sample and channel", 1,
    ),
    "layer over channels": (
        lambda: ChannelNorm(6), "LayerNormalization", (3,), "over C (axis 3), for each sample and position", 1,
    ),
    "instance": (
        lambda: nn.InstanceNorm2d(6, affine=True), "InstanceNormalization", (2, 3),
        "over H, W (axes 2, 3), for each sample and channel", 1,
    ),
    "group": (
        lambda: nn.GroupNorm(2, 6), "GroupNormalization", (1, 2, 3),
        "over 3 of 6 channels, H, W (axes 1, 2, 3), for each sample and each of 2 groups", 5,
    ),
    "one group": (
        lambda: nn.GroupNorm(1, 6), "GroupNormalization", (1, 2, 3), "over C, H, W (axes 1, 2, 3), for each sample", 5,
    ),
    "a group a channel": (
        lambda: nn.GroupNorm(6, 6, affine=False), "GroupNormalization", (2, 3),
        "over H, W (axes 2, 3), for each sample and channel", 5,
    ),
    "local response": (
        lambda: nn.LocalResponseNorm(3, alpha=0.3, beta=0.75, k=2), "LRN", (1,),
        "x / (2 + 0.3/3 * s)^0.75, s the sum of the squares of 3 neighboring channels (axis 1) at the same position; "
        "no mean is subtracted", 9,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def every() -> Analysis:
    """All modules, one behind the other, from "1" on; each behind a convolution or a ReLU."""
    return analyzed(nn.Sequential(nn.Conv2d(2, 6, 1), *(Rectified(make()) for make, *_ in CASES.values())), 2, 4, 5)


@pytest.mark.parametrize("case", CASES)
def test_one_explanation_a_module_which_the_gradient_confirms(case: str, every: Analysis) -> None:
    """One output of the module depends on just the values that are said to share a mean, along just those axes."""
    make, kind, axes, text, operators = CASES[case]
    name = f"{list(CASES).index(case) + 1}.norm"
    ((place, layer, found),) = [one for one in normalizing(every) if one[1].name == name]
    assert (found.kind, found.axes, found.text, found.operators) == (kind, axes, text, operators)
    assert [one.name for one in every.layers].count(name) == operators + 2 * (case == "layer over channels")
    assert {one.name for one in every.layers[place : place + operators]} == {layer.name}
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    make().double().eval()(x)[1, 3, 2, 2].backward()
    assert x.grad is not None
    touched = x.grad.nonzero()
    assert len(touched) == (found.values_per_mean or 1)
    channels_last = case == "layer over channels"
    assert {axis for axis in range(4) if touched[:, axis].unique().numel() > 1} == ({1} if channels_last else set(axes))


@pytest.mark.parametrize(
    ("instance", "shape", "letters", "axes"),
    [(nn.InstanceNorm1d(6), (6, 9), "L", "axis 2"), (nn.InstanceNorm3d(6), (6, 2, 3, 4), "D, H, W", "axes 2, 3, 4")],
)
def test_signals_and_clips(instance: nn.Module, shape: tuple[int, ...], letters: str, axes: str) -> None:
    """For LocalResponseNorm, PyTorch pools signals in two dimensions, and reshapes clips."""
    analysis = analyzed(nn.Sequential(instance, nn.GroupNorm(2, 6), nn.LocalResponseNorm(5)), *shape)
    found = [(layer.name, said.values_per_mean, said.text) for _, layer, said in normalizing(analysis)]
    positions = math.prod(shape[1:])
    assert found[0] == ("0", positions, f"over {letters} ({axes}), for each sample and channel")
    group = f"over 3 of 6 channels, {letters} (axes 1, {axes.partition(' ')[2]})"
    assert found[1] == ("1", 3 * positions, f"{group}, for each sample and each of 2 groups")
    assert found[2][:2] == ("2", 5)


def test_an_artifact_says_the_same() -> None:
    graph = export(
        nn.Sequential(nn.Conv2d(2, 6, 1), nn.GroupNorm(2, 6), nn.LocalResponseNorm(3), nn.InstanceNorm2d(6)).eval(),
        (torch.zeros(2, 2, 4, 5),),
    )
    before = [(found.kind, found.text) for _, _, found in normalizing(analyze_model(graph, name="net"))]
    optimize(graph)
    after = normalizing(analyze_model(graph, name="net"))
    assert [(found.kind, found.text) for _, _, found in after] == before
    assert [kind for kind, _ in before] == ["GroupNormalization", "LRN", "InstanceNormalization"]


def test_table_json_csv_and_page() -> None:
    analysis = analyzed(nn.Sequential(nn.Conv2d(2, 6, 1), nn.GroupNorm(2, 6), *[nn.BatchNorm2d(6)] * 3), 2, 4, 5)
    text = io.StringIO()
    print_analysis(analysis, Console(file=text, width=160))
    lines = [line.split(maxsplit=1) for line in text.getvalue().splitlines() if line.strip()]
    start = next(place for place, words in enumerate(lines) if words[0] == "normalization" and "averages" in words[1])
    group, batch = (" ".join(" ".join(words).split()) for words in lines[start + 1 : start + 3])
    assert group == (
        "GroupNorm 1 60 over 3 of 6 channels, H, W (axes 1, 2, 3), for each sample and each of 2 groups (5 rows)"
    )
    assert batch == f"BatchNorm 2 and 2 more {STORED}"
    document = json.loads(analysis.to_json())
    assert [layer["normalization"] for layer in document["layers"] if layer["op"] in ("Conv", "Reshape")] == [
        None,
        {
            "kind": "GroupNormalization",
            "axes": [1, 2, 3],
            "values_per_mean": 60,
            "text": "over 3 of 6 channels, H, W (axes 1, 2, 3), for each sample and each of 2 groups",
            "operators": 5,
        },
        None,
    ]
    assert STORED in analysis.to_csv()
    page = layer_table(analysis)
    column = [column.key for column in page.columns].index("normalization")
    assert page.rows[1][column].startswith("GroupNorm over 3 of 6 channels, H, W")
    assert page.rows[1][column].endswith("(this row and the next 4)")
    assert page.rows[-1][column] == f"BatchNorm {STORED}"


def test_without_normalizations_there_is_no_table() -> None:
    text = io.StringIO()
    print_analysis(analyzed(nn.Conv2d(2, 6, 1), 2, 4, 5), Console(file=text, width=160))
    assert "averages" not in text.getvalue()


def test_a_cast_like_of_a_constant_is_no_layer() -> None:
    """It reads the activation for its type only."""
    graph = helper.make_graph(
        [node("CastLike", "c x", "t"), node("Mul", "x t", "y")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6, 4, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor("c", TensorProto.DOUBLE, [6, 1, 1], [1.0] * 6)],
    )
    built = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    InferShapes()(built)
    assert [layer.op for layer in analyze_model(built, name="net").layers] == ["Mul"]
