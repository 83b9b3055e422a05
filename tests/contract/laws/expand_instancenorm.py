"""Graphs for expand-instancenorm."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import overridable
from tests.contract.graphs import model, node, weights


def normalized(
    *size: int | str, epsilon: float = 1e-5, plain: bool = False, dtype: type = np.float32
) -> onnx.ModelProto:
    scale, shift = (np.ones(4), np.zeros(4)) if plain else (weights(4), weights(4))
    constants = {"scale": scale.astype(dtype), "shift": shift.astype(dtype)}
    nodes = [node("InstanceNormalization", "x scale shift", "n", epsilon=epsilon), node("Relu", "n", "y")]
    return model(nodes, {"x": ["batch", 4, *size]}, ["y"], constants)


def groups() -> onnx.ModelProto:
    """As PyTorch exports GroupNorm: channels are folded into the last axis, and unfolded again."""
    constants = {
        "scale": np.ones(2, np.float32),
        "shift": np.zeros(2, np.float32),
        "folded": np.array([0, 2, -1], np.int64),
        "unfolded": np.array([0, 4, 5, 5], np.int64),
    }
    nodes = [
        node("Reshape", "x folded", "f"),
        node("InstanceNormalization", "f scale shift", "n"),
        node("Reshape", "n unfolded", "y"),
    ]
    return model(nodes, {"x": ["batch", 4, 5, 5]}, ["y"], constants)


def open_groups(channels: int = 4) -> onnx.ModelProto:
    """The same for images of any size: the map is unfolded to the sizes that it had."""
    constants = {
        "scale": np.ones(2, np.float32),
        "shift": np.zeros(2, np.float32),
        "folded": np.array([0, 2, -1], np.int64),
    }
    nodes = [
        node("Reshape", "x folded", "f"),
        node("InstanceNormalization", "f scale shift", "n"),
        node("Shape", "x", "sizes"),
        node("Reshape", "n sizes", "y"),
    ]
    return model(nodes, {"x": ["batch", channels, "height", "width"]}, ["y"], constants)


def groups_read_twice() -> onnx.ModelProto:
    """The vectors have another reader, which would keep the Reshape."""
    graph = open_groups()
    graph.graph.node.append(node("Relu", "f", "other"))
    graph.graph.output.append(onnx.helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, ["batch", 2, None]))
    return graph


SAMPLES: dict[str, Sample] = {
    "1d": lambda: normalized(12),
    "2d": lambda: normalized(5, 6),
    "3d": lambda: normalized(3, 4, 5),
    "open-size": lambda: normalized("height", "width"),
    "large-epsilon": lambda: normalized(4, 4, epsilon=0.1),
    "no-scale": lambda: normalized(4, 4, plain=True),
    "groupnorm": groups,
    "groupnorm-of-any-size": open_groups,
}

DECLINES: dict[str, Sample] = {
    "a channel is a vector that cannot be cut into rows": lambda: normalized(13),
    "that cannot be cut into rows": lambda: normalized("length"),
    "is a vector that cannot be cut into rows": groups_read_twice,
    "scale or shift are not constant": lambda: overridable(normalized(5, 6), "scale"),
}

LEAVES: dict[str, Sample] = {}
