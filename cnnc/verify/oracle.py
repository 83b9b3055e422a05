"""Where the truth comes from: the original network, run in float64 by kernels that are not the engine's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx_ir as ir

from cnnc_runtime.errors import UnsupportedModelError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OnnxOracle", "Oracle", "TorchOracle", "buffers_kept", "graph_in_float64"]

Feed = Mapping[str, np.ndarray]


class Oracle(Protocol):
    """Runs the original network: exactly (float64), and in its own precision."""

    description: str

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output, computed in float64."""

    def original(self, feed: Feed) -> list[np.ndarray]:
        """Every output, computed as the original computes it."""


class TorchOracle:
    """A PyTorch module; it is neither changed nor copied."""

    description = "the PyTorch module in float64"

    def __init__(self, module: nn.Module, constants: Mapping[str, Any] | None = None) -> None:
        self.module = module
        self.constants = dict(constants or {})  # arguments of forward that are no tensors

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output, each operator computed in float64."""
        from cnnc.verify.float64 import Float64Mode

        try:
            # Wide from the start: what changes an input in place must find the tensor that is read later
            with buffers_kept(self.module), Float64Mode():
                return self._call({name: _widen(x) for name, x in feed.items()})
        except RuntimeError as error:
            raise UnsupportedModelError(
                f"the network cannot be run in float64 to be proved: {str(error).splitlines()[0]}"
            ) from error

    def original(self, feed: Feed) -> list[np.ndarray]:
        """Every output in the module's own precision."""
        with buffers_kept(self.module):
            return self._call(feed)

    def _call(self, feed: Feed) -> list[np.ndarray]:
        import torch
        from torch.utils._pytree import tree_leaves

        from cnnc.export import evaluating

        inputs = {name: torch.from_numpy(x.copy()) for name, x in feed.items()}
        with evaluating(self.module), torch.no_grad():
            out = self.module(**inputs, **self.constants)
        return [leaf.numpy() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]


@contextlib.contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Put back what a forward does to its module's buffers (a counter, a running mean): the next call starts equal."""
    kept = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for owner, name, buffer, values in kept:
            buffer.copy_(values)
            owner._buffers[name] = buffer


def _widen(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def graph_in_float64(path: Path) -> Callable[[Feed], list[np.ndarray]]:
    """What runs the graph of an .onnx file in float64; it is loaded when it is called first.

    Raises:
        UnsupportedModelError: when called, an operator has no float64 here.
    """
    evaluators: list[Any] = []

    def run(feed: Feed) -> list[np.ndarray]:
        if not evaluators:
            from cnnc.verify.reference import Float64Evaluator

            evaluators.append(Float64Evaluator(ir.to_proto(ir.external_data.load_to_model(ir.load(path)))))
        found: list[np.ndarray] = evaluators[0].run(feed)
        return found

    return run


class OnnxOracle:
    """An ONNX graph as it was read: float64 by onnx's reference evaluator, its own precision by the engine
    with every optimization off.
    """

    description = "the unrewritten ONNX graph in float64, by onnx's reference evaluator"

    def __init__(self, model: ir.Model) -> None:
        from cnnc.verify.reference import Float64Evaluator
        from cnnc_runtime.engine import Engine

        proto = ir.to_proto(ir.external_data.load_to_model(model.clone()))
        self._evaluator = Float64Evaluator(proto)
        self._engine = Engine(proto.SerializeToString(), device="cpu", optimization="off")

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output with all floating tensors in float64."""
        return self._evaluator.run(feed)

    def original(self, feed: Feed) -> list[np.ndarray]:
        """Every output as the unrewritten graph gives it."""
        return list(self._engine.run(dict(feed)).values())
