"""Counts by the conventions of other tools. The totals are what the tools printed; `tests/peers` runs them again."""

from __future__ import annotations

import math

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnc.analysis.conventions import CONVENTIONS, count
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import UnsupportedModelError, UsageError

# fvcore 0.1.5.post20221221, ptflops 0.7.5, torchinfo 1.8.0, thop 0.1.1.post2209072238, PyTorch 2.13.0
TOOLS = ("fvcore", "ptflops", "torchinfo", "thop", "flopcounter")
PRINTED = {
    "lenet5": (416_520, 435_646, 423_038, 418_096, 833_040),
    "resnet20": (40_931_968, 41_312_906, 40_552_426, 41_308_864, 81_102_080),
    "mixed": (34_112, 33_108, 48_229, 69_440, 44_672),
}


class Mixed(nn.Module):
    """Modules, functions and operators; a layer scale; a linear layer on a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.spread = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)) * self.scale)
        x = F.max_pool2d(self.up(x), 2)
        x = F.adaptive_avg_pool2d(self.spread(torch.add(x, x)), 4)
        return self.fc(torch.flatten(x, 2))


def exported(module: nn.Module, *shape: int) -> ir.Model:
    graph = export(module.eval(), torch.zeros(2, *shape))
    InferShapes()(graph)
    return graph


def graph_of(head: str, body: str, **constants: tuple[int, ...]) -> ir.Model:
    """A graph as other exporters write it, with constants of zeros."""
    zeros = ", ".join(
        f"float[{','.join(map(str, shape))}] {name} = {{{','.join('0' * math.prod(shape))}}}"
        for name, shape in constants.items()
    )
    graph = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 20]> g {head} <{zeros}> {body}')
    InferShapes()(graph)
    return graph


@pytest.mark.parametrize("name", PRINTED)
def test_totals_that_the_tools_printed(name: str) -> None:
    graph = exported(Mixed(), 3, 8, 8) if name == "mixed" else exported(build(name), *ZOO[name].input_shape)
    found = {tool: count(graph, tool, {"batch": 1}) for tool in CONVENTIONS}
    assert {tool: found[tool].total for tool in TOOLS} == dict(zip(TOOLS, PRINTED[name], strict=True))
    for tool, convention in found.items():
        assert sum(convention.layers.values()) == convention.total
        assert set(convention.layers) <= {node.name for node in graph.graph}
        assert convention.convention == tool and "\n" not in convention.note
    if name == "mixed":
        assert found["thop"].params == 441  # not the 16 of the GroupNorm, nor the 8 of the layer scale


def test_units_are_the_tools_own() -> None:
    assert {name: convention.unit for name, convention in CONVENTIONS.items()} == {
        "fvcore": "FLOPs",
        "ptflops": "MACs",
        "torchinfo": "mult-adds",
        "thop": "MACs",
        "flopcounter": "FLOPs",
    }


def test_graph_without_record_counts_operators_as_the_modules_of_their_kind() -> None:
    """One convolution of 2 * 9 products at 8 * 6 * 6 outputs with biases, and a ReLU."""
    graph = graph_of(
        "(float[1,2,8,8] x) => (float[1,8,6,6] y)", "{ c = Conv (x, w, b) y = Relu (c) }", w=(8, 2, 3, 3), b=(8,)
    )
    outputs, macs = 8 * 36, 8 * 36 * 18
    assert {tool: count(graph, tool, {}).total for tool in TOOLS} == {
        "fvcore": macs,
        "ptflops": macs + outputs + 2 * outputs,
        "torchinfo": macs + outputs,
        "thop": macs,
        "flopcounter": 2 * macs,
    }


def test_unknown_convention_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="'deepspeed'; there is fvcore, ptflops, torchinfo, thop, flopcounter"):
        count(ir.Model(ir.Graph([], [], nodes=[]), ir_version=10), "deepspeed", {})


def test_unknown_size_asks_for_the_shape() -> None:
    graph = graph_of("(float[1,2,h,w] x) => (float[1,8,a,b] y)", "{ y = Conv (x, k) }", k=(8, 2, 3, 3))
    with pytest.raises(UsageError, match="--input-shape"):
        count(graph, "fvcore", {})
    assert count(graph, "fvcore", {"h": 8, "w": 8}).total == 8 * 36 * 18


def test_recurrent_layers_and_attention_are_refused() -> None:
    graph = graph_of(
        "(float[5,1,8] x) => (float[5,1,1,4] y)",
        "{ y, h = GRU <hidden_size = 4> (x, w, r) }",
        w=(1, 12, 8),
        r=(1, 12, 4),
    )
    with pytest.raises(UnsupportedModelError, match=r"GRU .* fvcore"):
        count(graph, "fvcore", {})
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    with pytest.raises(UnsupportedModelError, match=r"attention .* thop"):
        count(exported(Attends(), 5, 8), "thop", {"batch": 1})
