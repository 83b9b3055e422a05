"""A network that puts out what its layers compute, opened in the engine as it was exported."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc.analysis.activations.sites import Site, find_sites
from cnnc.artifact import write_model
from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import UnsupportedModelError
from cnnc_runtime.probe import probe
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Recording", "recording"]


class Recording:
    """Runs batches and gives the outputs of the `sites`, in their order."""

    def __init__(self, engine: Engine, sites: list[Site]) -> None:
        self.sites = sites
        self.inputs: tuple[TensorSpec, ...] = engine.inputs
        self.preprocessing = engine.metadata.preprocessing if engine.metadata is not None else None
        self._engine = engine
        self._names = [str(site.value.name) for site in sites]

    @property
    def fixed_batch(self) -> int | None:
        """The batch that the graph insists on; None where it is open."""
        return next((spec.shape[0] for spec in self.inputs if isinstance(spec.shape[0], int)), None)

    def run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The output of every site for a batch; a batch that is too small for the graph is filled up for the run."""
        count, size = len(next(iter(feed.values()))), self.fixed_batch
        if size is not None and count < size:
            feed = {name: np.concatenate([x, np.repeat(x[-1:], size - count, axis=0)]) for name, x in feed.items()}
        outputs = self._engine.run(feed)
        found = [outputs[name] for name in self._names]
        cut = size is not None and count < size
        return [x[:count] if cut and x.ndim and len(x) == size else x for x in found]


@contextlib.contextmanager
def recording(model: ir.Model, *, vouched: bool, threads: int | None) -> Iterator[Recording]:
    """Open a copy of `model` whose outputs are those of its layers; on the CPU, with no optimization of the engine's.

    Args:
        model: any graph; it stays as it is.
        vouched: False runs the copy in a child process first, with limits on time and memory.
        threads: of one run; None for the engine's choice.

    Raises:
        UnsupportedModelError: it has no layer to look at.
        CnncError: as `Engine`.
    """
    copy = model.clone()
    common.InlinePass()(copy)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    InferShapes()(copy)
    sites = find_sites(copy.graph)
    if not sites:
        raise UnsupportedModelError(f"{model.graph.name or 'the graph'} has no layer whose output could be measured")
    copy.graph.outputs[:] = [site.value for site in sites]
    with tempfile.TemporaryDirectory(prefix="cnnc-activations-") as folder:
        path = Path(folder) / "layers.onnx"
        write_model(copy, path)
        if not vouched:
            probe(path)
        with Engine(
            path, device="cpu", threads=threads, optimization="off", name=model.graph.name or "the graph"
        ) as engine:
            yield Recording(engine, sites)
