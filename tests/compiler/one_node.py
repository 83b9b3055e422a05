"""One node, on the float64 evaluator and on onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from cnnc.verify.reference import Float64Evaluator

SIZES = {1: (11,), 2: (11, 8), 3: (6, 7, 5)}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
# onnxruntime computes these in float32 even when they are given float64
_SINGLE = {"Gelu", "GroupNormalization", "LayerNormalization"}
rng = np.random.default_rng(5)


def noise(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def graph(
    op: str, arrays: Sequence[np.ndarray | None], wide: bool, opset: int, outputs: int, domain: str, **attributes: Any
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One node, its first input fed and the others constants, all in float32 or all in float64."""
    typed = [a.astype(np.float64) if wide and a is not None and a.dtype == np.float32 else a for a in arrays]
    names = ["" if a is None else f"in{i}" for i, a in enumerate(typed)]
    node = helper.make_node(op, names, [f"out{i}" for i in range(outputs)], domain=domain, **attributes)
    x = typed[0]
    assert x is not None
    proto = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("in0", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_empty_tensor_value_info(f"out{i}") for i in range(outputs)],
        [numpy_helper.from_array(a, name) for name, a in zip(names[1:], typed[1:], strict=True) if a is not None],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(proto, opset_imports=imports, ir_version=10), {"in0": x}


def on_onnxruntime(proto: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feed))


def agrees(
    op: str, *arrays: np.ndarray | None, opset: int = 20, outputs: int = 1, domain: str = "", **attributes: Any
) -> None:
    """Our value of one node equals onnxruntime's: to rounding in float64 where it has the kernel, else float32."""
    narrow, feed = graph(op, arrays, False, opset, outputs, domain, **attributes)
    wide, wide_feed = graph(op, arrays, True, opset, outputs, domain, **attributes)
    try:
        theirs, tolerance = on_onnxruntime(wide, wide_feed), 1e-6 if op in _SINGLE else 1e-10
    except Exception:
        theirs, tolerance = on_onnxruntime(narrow, feed), 1e-5
    for our, their in zip(Float64Evaluator(narrow).run(feed), theirs, strict=True):
        assert our.shape == their.shape
        assert our.dtype == (np.float64 if their.dtype.kind == "f" else their.dtype)
        scale = np.abs(their[np.isfinite(their)]).max(initial=1e-30) if their.dtype.kind == "f" else 1
        np.testing.assert_allclose(our / scale, their / scale, rtol=0, atol=tolerance)
