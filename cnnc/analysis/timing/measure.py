"""measure(): a model run on the engine, its kernels' times given to the layers of its analysis."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

import onnx_ir as ir

from cnnc.analysis.result import Analysis
from cnnc.analysis.timing.ceilings import measure_ceilings
from cnnc.analysis.timing.process import Job, run_jobs
from cnnc.analysis.timing.result import Ceilings, Timing
from cnnc.analysis.timing.rows import Rows
from cnnc.artifact import write_model
from cnnc_passes.sizes import concrete_shape
from cnnc_runtime.errors import UsageError
from cnnc_runtime.preflight import check_model_file

__all__ = ["measure"]


def measure(
    model: str | os.PathLike[str] | ir.Model,
    analysis: Analysis,
    *,
    threads: int | None = None,
    runs: int = 30,
    ceilings: Ceilings | None = None,
) -> Timing:
    """Time `model` on onnxruntime's CPU provider as cnnc's engine runs it, layer by layer.

    Three child processes: without the profiler, for the latency; with it, for the layers; and for the ceilings.

    Args:
        model: the .onnx file, or the graph, that was analyzed.
        analysis: of it; its sizes are those of the random, seeded inputs.
        threads: of one run; onnxruntime's choice (the physical cores) if None.
        runs: to time, each with the profiler and without, after a warm-up.
        ceilings: of the roofline, from an earlier measurement with as many threads; measured if None.

    Raises:
        InvalidInputError, UnsupportedModelError, ResourceLimitError: the engine cannot run the model.
        UsageError: `runs` or `threads` is not positive.
        OutputError: the temporary folder cannot be written.
    """
    if runs < 1:
        raise UsageError(f"`runs` is {runs}: at least 1")
    if not isinstance(model, ir.Model):
        check_model_file(model)
    inputs = [value for value in analysis.model.graph.inputs if value.const_value is None]
    shapes = {str(value.name): concrete_shape(value, analysis.sizes) or () for value in inputs}
    with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
        path = os.fspath(model) if not isinstance(model, ir.Model) else _written(model, Path(folder))
        (plain,) = run_jobs([Job(path, shapes, runs, threads)], analysis.name)
        (profiled,) = run_jobs([Job(path, shapes, runs, threads, scratch=folder)], analysis.name)
    times = Rows(profiled.kernels, analysis, ceilings or measure_ceilings(threads))
    return Timing(
        threads=threads,
        runs=runs,
        latency_seconds=statistics.median(plain.seconds),
        latency_range=(min(plain.seconds), max(plain.seconds)),
        profiled_seconds=statistics.median(profiled.seconds),
        layers=times.layers(),
        engine=times.engine(),
        unattributed=times.unattributed,
        unattributed_seconds=times.unattributed_seconds,
        ceilings=times.ceilings,
    )


def _written(model: ir.Model, folder: Path) -> str:
    path = folder / "model.onnx"
    write_model(model, path)
    return str(path)
