"""The first value of an exported graph that is not PyTorch's: where an exporter went wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import fx, nn

from cnnc.export import evaluating
from cnnc.verify.float64 import Float64Mode
from cnnc.verify.reference import Float64Evaluator
from cnnc.verify.tolerance import relative_error

__all__ = ["first_departure"]

_LIMIT = 1e-6  # both sides are computed in float64: what is left is weights' rounding
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+\n\s*(?P<code>.+)')


def first_departure(
    module: nn.Module, constants: Mapping[str, Any], model: ir.Model, feed: Mapping[str, np.ndarray]
) -> str | None:
    """Name the first node whose value departs from PyTorch's, both in float64; None where none does.

    Args:
        module: the network.
        constants: arguments of its forward that are no tensors.
        model: its export, unrewritten; values are named as the traced functions that made them.
        feed: inputs at the traced size.
    """
    tensors = {name: torch.from_numpy(x.copy()) for name, x in feed.items()}
    with evaluating(module), torch.no_grad():
        program = torch.export.export(module, (), {**tensors, **constants}, strict=False)
        recorder = _Recorder(program.module())
        with Float64Mode():
            recorder.run(*(x.double() if x.is_floating_point() else x for x in tensors.values()))
    nodes = {output.name: node for node in model.graph for output in node.outputs if output.name in recorder.values}
    evaluated = Float64Evaluator(ir.to_proto(model)).intermediate(feed, [str(name) for name in nodes])
    for name, node in nodes.items():
        want, got = recorder.values[str(name)], evaluated[str(name)]
        if got.shape != want.shape:
            return f"{name!r} ({node.op_type}{recorder.origin(str(name))}): shape {got.shape} instead of {want.shape}"
        error = relative_error(got, want)
        if error > _LIMIT:
            return f"{name!r} ({node.op_type}{recorder.origin(str(name))}), off by {error:.1e} of its magnitude"
    return None


class _Recorder(fx.Interpreter):
    """Runs a traced program and keeps every tensor by the name of its node."""

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program)
        self.values: dict[str, np.ndarray] = {}
        self._traces: dict[str, str] = {}

    def run_node(self, node: fx.Node) -> Any:
        """One node, as fx runs it."""
        value = super().run_node(node)
        if isinstance(value, torch.Tensor) and node.op == "call_function":
            self.values[node.name] = value.detach().numpy()
            self._traces[node.name] = node.meta.get("stack_trace") or ""
        return value

    def origin(self, name: str) -> str:
        """` at file:line, `code``: the innermost line of a value's trace that is not PyTorch's."""
        library = Path(torch.__file__).parent
        frames = [f for f in _FRAME.finditer(self._traces[name]) if library not in Path(f["file"]).parents]
        return f" at {frames[-1]['file']}:{frames[-1]['line']}, `{frames[-1]['code'].strip()}`" if frames else ""
