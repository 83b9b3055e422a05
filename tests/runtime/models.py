"""Small ONNX files for the runtime's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cnnc_runtime import Metadata

Dims = Sequence[int | str]


def serialized(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Dims],
    outputs: Sequence[str],
    *,
    constants: dict[str, np.ndarray[Any, Any]] | None = None,
    metadata: Metadata | None = None,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> bytes:
    """An ONNX model as bytes; its outputs have `dtype` and no declared shape."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, metadata.to_props())
    return model.SerializeToString()


def relu(shape: Dims = ("n", 3, 8, 8), *, dtype: int = TensorProto.FLOAT, metadata: Metadata | None = None) -> bytes:
    """Compute y = max(x, 0)."""
    node = helper.make_node("Relu", ["x"], ["y"])
    return serialized([node], {"x": shape}, ["y"], dtype=dtype, metadata=metadata)


def add() -> bytes:
    """Two inputs, two outputs: s = a + b, d = a - b."""
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Sub", ["a", "b"], ["d"])]
    return serialized(nodes, {"a": ("n", 4), "b": ("n", 4)}, ["s", "d"])


def channel_means(batch: int | str = "n", metadata: Metadata | None = None, side: int | str = 8) -> bytes:
    """A 3-class "classifier" whose logits are the means of the three channels."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    return serialized(nodes, {"x": (batch, 3, side, side)}, ["y"], metadata=metadata)


def leaky_sum(
    batch: int | str = "n", side: int | str = 8, *, states: dict[str, str] | None = None, state: Dims | None = None
) -> bytes:
    """A step function: h_next = h / 2 + x, and y, its 3 channels' means; `state` is the shape of h if not that of x."""
    nodes = [
        helper.make_node("Mul", ["h", "half"], ["kept"]),
        helper.make_node("Add", ["kept", "x"], ["h_next"]),
        helper.make_node("GlobalAveragePool", ["h_next"], ["means"]),
        helper.make_node("Flatten", ["means"], ["y"]),
    ]
    shape = (batch, 3, side, side)
    metadata = Metadata("1", "net", "portable", states={"h": "h_next"} if states is None else states, certificate={})
    return serialized(
        nodes,
        {"x": shape, "h": state or shape},
        ["h_next", "y"],
        constants={"half": np.float32(0.5)},
        metadata=metadata,
    )
