"""Graphs for recognise-groupnorm."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights


def groupnorm(
    rank: int = 2,
    *,
    groups: int = 2,
    affine: str = "Mul Add",
    grouped: list[int] | None = None,
    own: bool = False,
    shape: list[int | str] | None = None,
    opset: int = 21,
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """As exporters write it: over 6 channels; `own`: the InstanceNormalization has a scale and bias as well."""
    shape = shape or ["batch", 6, *(4,) * rank]
    kind = np.float64 if dtype == TensorProto.DOUBLE else np.float32
    constants = {
        "g": np.array(grouped or [0, groups, -1], np.int64),
        "back": np.array([0 if size == "batch" else -1 if isinstance(size, str) else size for size in shape], np.int64),
        "ones": weights(groups).astype(kind) if own else np.ones(groups, kind),
        "zeros": weights(groups).astype(kind) if own else np.zeros(groups, kind),
    }
    nodes = [
        node("Reshape", "x g", "r"),
        node("InstanceNormalization", "r ones zeros", "n", epsilon=1e-3),
        node("Reshape", "n back", "b"),
    ]
    last = "b"
    for op in affine.split():
        constants[op.lower()] = weights(6, *(1,) * rank).astype(kind)
        nodes.append(node(op, f"{last} {op.lower()}", f"{op.lower()}ed"))
        last = f"{op.lower()}ed"
    nodes.append(node("Neg", last, "y"))
    return model(nodes, {"x": shape}, ["y"], constants, opset=opset, dtype=dtype)


def huge_scale() -> onnx.ModelProto:
    """A scale per group times a scale per channel beyond float32."""
    proto = groupnorm(own=True)
    for tensor in proto.graph.initializer:
        if tensor.name in ("ones", "mul"):
            array = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(array, 1e30), tensor.name))
    return proto


def between() -> onnx.ModelProto:
    proto = groupnorm()
    proto.graph.node[2].input[0] = "relu"
    proto.graph.node.insert(2, node("Relu", "n", "relu"))
    return proto


SAMPLES: dict[str, Sample] = {
    "1d": lambda: groupnorm(1),
    "2d": groupnorm,
    "3d": lambda: groupnorm(3),
    "one-group": lambda: groupnorm(groups=1),
    "a-channel-a-group": lambda: groupnorm(groups=6),
    "rank-kept": lambda: groupnorm(grouped=[0, 2, 3, 4, 4]),
    "open-sizes": lambda: groupnorm(shape=["batch", 6, 4, "w"]),
    "no-affine": lambda: groupnorm(affine=""),
    "scale-alone": lambda: groupnorm(affine="Mul"),
    "shift-first": lambda: groupnorm(affine="Add Mul"),
    "own-parameters": lambda: groupnorm(own=True),
}

DECLINES: dict[str, Sample] = {
    "another node reads a result in between": lambda: expose(groupnorm(), "r"),
    "node reads a result in between": lambda: expose(groupnorm(), "n"),
    "from opset 21 on": lambda: groupnorm(opset=20),
    "GroupNormalization computes in float32": lambda: groupnorm(dtype=TensorProto.DOUBLE),
    "does not keep the batch and split": lambda: groupnorm(shape=[2, 6, 4, 4], grouped=[4, 6, -1], groups=6),
    "a parameter of the InstanceNormalization is not constant": lambda: overridable(groupnorm(), "ones"),
    "a merged parameter does not fit float32": huge_scale,
}

LEAVES: dict[str, Sample] = {
    "something between": between,
    "no Reshape": lambda: model(
        [node("InstanceNormalization", "x s b", "y")],
        {"x": ["batch", 3, 4]},
        ["y"],
        {"s": weights(3), "b": weights(3)},
        opset=21,
    ),
}
