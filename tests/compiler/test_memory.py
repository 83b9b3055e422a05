"""The order of execution that the memory is counted in, against the one that the engine really takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from cnnc.analysis import analyze_model
from cnnc.analysis.memory import engine_order
from cnnc.artifact import write_model
from cnnc.export import export
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session


class Shortcut(nn.Module):
    """Residual blocks with a convolution in the shortcut, which stands last in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.b(torch.relu(self.a(x))) + self.c(x))
        return torch.relu(self.d(y) + y)


class Inception(nn.Module):
    """Four branches of different length, concatenated; one is read again later."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(4, 4, 1) for _ in range(4))
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.a(x))
        second = self.c(torch.relu(self.b(x)))
        joined = torch.cat([self.pool(x), first, second, self.d(self.pool(first))], 1)
        return joined.mean((2, 3)) + first.mean((1, 2, 3)).unsqueeze(1)


class Dense(nn.Module):
    """Every layer reads all before it; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.a(x)
        z = self.b(torch.cat([x, y], 1))
        gate = torch.sigmoid(y.mean((2, 3), keepdim=True))
        return self.c(torch.cat([z, y * gate, x], 1)), torch.relu(z) * gate


def profiled_order(model: ir.Model, folder: Path) -> list[str]:
    """The nodes in the order in which onnxruntime ran them, without its own optimization."""
    write_model(model, folder / "net.onnx")
    path, trace = str(folder / "net.onnx"), str(folder / "trace")
    session, _ = open_session(path, "net", CPU, threads=1, optimization="off", profile=trace)
    session.run(None, {"x": np.zeros((1, 4, 8, 8), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [event["name"].removesuffix("_kernel_time") for event in events if event["cat"] == "Node"]


@pytest.mark.parametrize("net", [Shortcut, Inception, Dense])
def test_the_order_is_the_one_that_the_engine_profiles(net: type[nn.Module], tmp_path: Path) -> None:
    model = export(net().eval(), (torch.zeros(2, 4, 8, 8),))
    graph = analyze_model(model, name="net").model.graph
    ours = [str(node.name) for node in engine_order(graph)]
    assert ours == profiled_order(model, tmp_path)
    assert ours != [str(node.name) for node in graph]  # else the order of the file would do
