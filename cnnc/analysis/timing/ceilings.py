"""The two ceilings of the roofline, measured: how fast the engine computes here, and how fast memory is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.analysis.timing.process import Job, Measured, run_jobs
from cnnc.analysis.timing.result import Ceilings

__all__ = ["measure_ceilings"]

# Channels, height and width, kernel: shapes on which a CPU's direct convolution does well.
_CONVOLUTIONS = ((64, 56, 3), (128, 28, 3), (256, 14, 3), (256, 28, 1))
_MATRIX = 1024
_RUNS = 10
_LEAST, _MOST = 64 * 2**20, 256 * 2**20  # bytes of a tensor
_CACHES = "/sys/devices/system/cpu/cpu0/cache"  # Linux


def measure_ceilings(threads: int | None = None) -> Ceilings:
    """Run convolutions, a matrix product and an addition through the engine; about 3 seconds.

    Each ceiling is that of the fastest run: what the machine can do, not what it does on average.
    """
    tensor_bytes = min(max(_LEAST, 2 * _last_level_cache()), _MOST)
    elements = tensor_bytes // 4
    products = {
        **{f"{k}x{k} convolution, {c} channels at {s}x{s}": _convolution(c, s, k) for c, s, k in _CONVOLUTIONS},
        f"product of {_MATRIX}x{_MATRIX} matrices": _product(_MATRIX),
    }
    models = [*(model for model, _, _ in products.values()), _addition(elements)]
    shapes = [*(shape for _, shape, _ in products.values()), [elements]]
    with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
        jobs = []
        for index, (model, shape) in enumerate(zip(models, shapes, strict=True)):
            path = Path(folder) / f"{index}.onnx"
            onnx.save(model, path)
            inputs = {value.name: shape for value in model.graph.input}
            jobs.append(Job(str(path), inputs, _RUNS, threads, scratch=folder))
        *computed, added = run_jobs(jobs, "the roofline's ceilings")
    rates = {
        name: flops / _fastest(measured)
        for (name, (_, _, flops)), measured in zip(products.items(), computed, strict=True)
    }
    best = max(rates, key=rates.__getitem__)
    return Ceilings(
        flops_per_second=rates[best],
        bytes_per_second=3 * tensor_bytes / _fastest(added),
        how=f"compute: {best}; memory: sum of two tensors of {tensor_bytes >> 20} MiB, two read and one written; "
        f"onnxruntime's kernels, the fastest of {_RUNS} runs",
    )


def _fastest(measured: Measured) -> float:
    """Of the one kernel that matters: a convolution has copies into the blocked layout around it."""
    return max(kernel.fastest for kernel in measured.kernels if not kernel.op.startswith("Reorder"))


def _convolution(channels: int, size: int, kernel: int) -> tuple[onnx.ModelProto, list[int], int]:
    """A model, the shape of its input, and its FLOPs."""
    weight = _random(channels, channels, kernel, kernel)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4)
    shape = [1, channels, size, size]
    return _model(node, ["x"], shape, [numpy_helper.from_array(weight, "w")]), shape, 2 * weight.size * size**2


def _product(size: int) -> tuple[onnx.ModelProto, list[int], int]:
    weight = numpy_helper.from_array(_random(size, size), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return _model(node, ["x"], [size, size], [weight]), [size, size], 2 * size**3


def _addition(elements: int) -> onnx.ModelProto:
    return _model(helper.make_node("Add", ["a", "b"], ["y"]), ["a", "b"], [elements], [])


def _model(node: Any, inputs: Sequence[str], shape: Sequence[int], weights: Sequence[TensorProto]) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "ceiling", values, [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _random(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _last_level_cache() -> int:
    """Bytes; 0 where the system does not say."""
    sizes = [path.read_text(encoding="ascii").strip() for path in Path(_CACHES).glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=0)
