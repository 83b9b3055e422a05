"""Graphs for pool3d-to-2d."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.graphs import model, node


def pooled(op: str = "MaxPool", kernel: tuple[int, ...] = (2, 3, 3), *, joined: bool = True, **attributes: object):
    """The pooling of a clip of three frames; they come one by one, or the clip as it is."""
    options = {} if op == "GlobalAveragePool" else {"kernel_shape": list(kernel), **attributes}
    outputs = "y indices" if attributes.pop("indices", False) else "y"
    options.pop("indices", None)
    names = "abc" if joined else ""
    nodes = [
        *(node("Unsqueeze", f"{name} t", f"{name}1") for name in names),
        *([node("Concat", "a1 b1 c1", "clip", axis=2)] if joined else []),
        node(op, "clip", outputs, **options),
    ]
    inputs = {name: ["batch", 2, 6, 7] for name in names} if joined else {"clip": ["batch", 2, 3, 6, 7]}
    results = outputs.split() if outputs != "y" else ["y"]
    proto = model(nodes, inputs, results, {"t": np.array([2])} if joined else {})
    for value in proto.graph.output[1:]:
        value.type.tensor_type.elem_type = onnx.TensorProto.INT64
    return proto


SAMPLES: dict[str, Sample] = {
    "maximum": pooled,
    "of-space-only": lambda: pooled(kernel=(1, 2, 2), strides=[1, 2, 2]),
    "padded": lambda: pooled(kernel=(3, 3, 3), pads=[1] * 6),
    "strides": lambda: pooled(kernel=(3, 3, 3), strides=[2, 2, 2], pads=[1] * 6),
    "ceil-mode": lambda: pooled(kernel=(2, 2, 2), strides=[2, 2, 2], ceil_mode=1),
    "dilations": lambda: pooled(kernel=(2, 2, 2), dilations=[2, 2, 1]),
    "mean": lambda: pooled("AveragePool", (3, 2, 2)),
    "mean-with-padding": lambda: pooled("AveragePool", (2, 3, 3), pads=[0, 1, 1, 0, 1, 1], count_include_pad=1),
    "mean-without-padding": lambda: pooled("AveragePool", (2, 3, 3), pads=[0, 1, 1, 0, 1, 1]),
    "global-mean": lambda: pooled("GlobalAveragePool"),
}

DECLINES: dict[str, Sample] = {
    "auto_pad is set": lambda: pooled(auto_pad="SAME_UPPER"),
    "the Indices are read": lambda: pooled(indices=True),
    "a mean reaches over the first or last frame": lambda: pooled("AveragePool", pads=[1, 0, 0, 1, 0, 0]),
}

LEAVES: dict[str, Sample] = {"a-clip-as-it-is": lambda: pooled(joined=False)}
