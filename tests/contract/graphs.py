"""Building small ONNX graphs for the contract suite, and running them without the engine or with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cnnc.verify.reference import Float64Evaluator
from cnnc_passes.infer_shapes import InferShapes

_rng = np.random.default_rng(7)


def weights(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return _rng.uniform(low, high, shape).astype(np.float32)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """`node("Conv", "x w", "y", ...)`: names separated by spaces, `_` for an input left out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"{op}_{outputs.split()[0]}", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 20,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model whose outputs' shapes are inferred; opset 20 with IR 10."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    shaped = ir.from_proto(proto)
    InferShapes()(shaped)
    return ir.to_proto(shaped)


def feeds(proto: onnx.ModelProto, batch: int = 2) -> list[dict[str, np.ndarray]]:
    """Adversarial inputs: noise, all-negative, zeros, 1e4-scale, a lone spike; overridable constants too."""
    rng = np.random.default_rng(3)
    shapes = {
        value.name: (
            [d.dim_value or batch for d in value.type.tensor_type.shape.dim],
            helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in proto.graph.input
    }
    every = []
    for kind in ("noise", "negative", "zeros", "large", "spike"):
        every.append({name: _array(kind, shape, dtype, rng) for name, (shape, dtype) in shapes.items()})
    return every


def _array(kind: str, shape: list[int], dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(shape)
    spike = np.zeros(shape)
    spike.reshape(-1)[rng.integers(spike.size)] = 100
    arrays = {
        "noise": noise,
        "negative": -np.abs(noise) - 1,
        "zeros": np.zeros(shape),
        "large": noise * (1e4 if dtype == np.float32 else 10),
        "spike": spike,
    }
    return np.asarray(arrays[kind]).astype(dtype)


def run_exactly(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Float64, without the engine."""
    return Float64Evaluator(proto).run(feed)


def run_on_engine(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Onnxruntime on the CPU at its full optimization level, as the engine opens it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["Pad_Fusion"],
    )
    return list(session.run(None, feed))
