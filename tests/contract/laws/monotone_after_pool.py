"""Graphs for monotone-after-pool."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights


def pooled(
    op: str = "Relu",
    rank: int = 2,
    *,
    inputs: str = "x",
    constants: dict[str, np.ndarray] | None = None,
    window: dict[str, object] | None = None,
    open_size: bool = False,
    opset: int = 20,
    **attributes: object,
) -> onnx.ModelProto:
    """An activation, a MaxPool of 2 and stride 2, or another window, and Neg."""
    pooling = {"kernel_shape": [2] * rank, "strides": [2] * rank, **(window or {})}
    nodes = [
        node(op, inputs, "f", **attributes),
        node("MaxPool", "f", "p", **pooling),
        node("Neg", "p", "y"),
    ]
    size = [f"size{axis}" if open_size else 7 for axis in range(rank)]
    return model(nodes, {"x": ["batch", 4, *size]}, ["y"], constants, opset=opset)


def after(*before: onnx.NodeProto, op: str = "Relu", **attributes: object) -> onnx.ModelProto:
    """The nodes, which compute c from x, the activation, a MaxPool."""
    constants = {"w": weights(4, 4, 3, 3), "half": np.full((4, 1, 1), 0.5, np.float32)}
    nodes = [
        *before,
        node(op, "c", "f", **attributes),
        node("MaxPool", "f", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    used = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in constants.items() if name in used}
    return model(nodes, {"x": ["batch", 4, 7, 7]}, ["y"], constants)


def residual() -> onnx.ModelProto:
    return after(node("Conv", "x w", "k", pads=[1] * 4), node("Add", "k x", "c"))


def prelu(slope: np.ndarray) -> onnx.ModelProto:
    return pooled("PRelu", inputs="x slope", constants={"slope": slope})


def with_indices() -> onnx.ModelProto:
    nodes = [node("Relu", "x", "f"), node("MaxPool", "f", "y indices", kernel_shape=[2, 2], strides=[2, 2])]
    nodes.append(node("Cast", "indices", "where", to=onnx.TensorProto.FLOAT))
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y", "where"])


def shared_convolution() -> onnx.ModelProto:
    """The convolution is an output too, so that no engine can fuse the Relu into it."""
    return expose(after(node("Conv", "x w", "c")), "c")


SAMPLES: dict[str, Sample] = {
    "1d": lambda: pooled(rank=1),
    "2d": pooled,
    "3d": lambda: pooled(rank=3),
    "open-size": lambda: pooled(open_size=True),
    "padded": lambda: pooled(window={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "auto-pad": lambda: pooled("Elu", window={"auto_pad": "SAME_LOWER"}),
    "ceil-mode": lambda: pooled(window={"ceil_mode": 1}),
    "dilated": lambda: pooled(window={"dilations": [2, 2]}),
    **{op: lambda op=op: pooled(op) for op in ("Sigmoid", "Tanh", "Softplus", "Elu", "Selu", "Celu", "HardSigmoid")},
    "Clip": lambda: pooled("Clip", inputs="x low high", constants={"low": np.float32(-1), "high": np.float32(0.5)}),
    "Clip-attributes": lambda: pooled("Clip", min=0.0, max=6.0, opset=10),
    "LeakyRelu": lambda: pooled("LeakyRelu", alpha=0.2),
    "PRelu": lambda: prelu(np.array([0, 0.1, 1, 2], np.float32).reshape(4, 1, 1)),
    "PRelu-one-slope": lambda: prelu(np.array([0.3], np.float32)),
    "after-a-mul": lambda: after(node("Mul", "x half", "c")),
    "a-convolution-cannot-take-it": lambda: after(node("Conv", "x w", "c"), op="Elu"),
    "convolution-read-twice": shared_convolution,
}

DECLINES: dict[str, Sample] = {
    "another node reads the Relu": lambda: expose(pooled(), "f"),
    "is not increasing": lambda: pooled("LeakyRelu", alpha=-0.2),
    "the Elu is not increasing": lambda: pooled("Elu", alpha=-1.0),
    "the PRelu is not increasing": lambda: prelu(weights(4, 1, 1, low=-1, high=-0.5)),
    "not the same at every position": lambda: prelu(weights(1, 7, low=0)),
    "increasing, or not the same": lambda: overridable(prelu(weights(4, 1, 1, low=0)), "slope"),
    "runs as part of the convolution": lambda: after(node("Conv", "x w", "c")),
    "part of the convolution before it": residual,
    "the Indices are read": with_indices,
    "a window may hold padding alone": lambda: pooled(window={"dilations": [2, 2], "pads": [1, 1, 1, 1]}),
}

LEAVES: dict[str, Sample] = {
    "not increasing": lambda: pooled("HardSwish"),
    "pooling keeps the size": lambda: pooled(window={"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4}),
}
