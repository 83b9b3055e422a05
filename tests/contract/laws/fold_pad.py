"""Graphs for fold-pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights

INFINITY = float("inf")


def padded(op: str = "Conv", pads: Sequence[int] = (1, 1), value: float = 0.0, **options: Any) -> onnx.ModelProto:
    """A Pad by `pads` of the spatial axes, (begin, ..., end, ...), and a window; options as of `pad_all`."""
    rank = len(pads) // 2
    return pad_all((0, 0, *pads[:rank], 0, 0, *pads[rank:]), op, value, **options)


def pad_all(
    pads: Sequence[int],
    op: str = "Conv",
    value: float = 0.0,
    *,
    before: str = "",
    mode: str = "constant",
    opset: int = 20,
    outputs: str = "y",
    kernel: int = 3,
    own: Sequence[int] = (),
    **attributes: Any,
) -> onnx.ModelProto:
    """`before` is an activation before the Pad, `own` the pads of `op`."""
    rank = len(pads) // 2 - 2
    nodes, source, constants = [], "x", {}
    if before:
        nodes.append(node(before, "x", "r"))
        source = "r"
    if opset < 11:
        nodes.append(node("Pad", source, "p", pads=list(pads), mode=mode, value=value))
    else:
        constants = {"pads": np.array(pads, np.int64), "v": np.array(value, np.float32)}
        nodes.append(node("Pad", f"{source} pads v", "p", mode=mode))
    if own:
        attributes["pads"] = list(own)
    if op == "Conv":
        channels = 4 + pads[1] + pads[rank + 3]
        groups = attributes.get("group", 1)
        constants |= {"w": weights(6, channels // groups, *[kernel] * rank), "b": weights(6)}
        nodes.append(node(op, "p w b", outputs, **attributes))
    else:
        nodes.append(node(op, "p", outputs, kernel_shape=[kernel] * rank, **attributes))
    return model(nodes, {"x": ["batch", 4, *(7, 8, 6)[:rank]]}, outputs.split(), constants, opset=opset)


def pad_of_axes(axes: Sequence[int], pads: Sequence[int]) -> onnx.ModelProto:
    """Opset 18 lets Pad name its axes."""
    nodes = [node("Pad", "x pads _ axes", "p"), node("Conv", "p w", "y")]
    constants = {"pads": np.array(pads, np.int64), "axes": np.array(axes, np.int64), "w": weights(6, 4, 3, 3)}
    return model(nodes, {"x": ["batch", 4, 7, 8]}, ["y"], constants)


def open_size() -> onnx.ModelProto:
    nodes = [node("Pad", "x pads", "p"), node("Conv", "p w", "y", strides=[2, 2])]
    constants = {"pads": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "w": weights(6, 4, 3, 3)}
    return model(nodes, {"x": ["batch", 4, "height", "width"]}, ["y"], constants)


def clipped(low: float | None, high: float | None, below: Sequence[str] = (), dilation: int = 1) -> onnx.ModelProto:
    """Clip, what `below` names, a Pad of 0 and a MaxPool."""
    bounds = {"low": low, "high": high}
    constants = {name: np.array(bound, np.float32) for name, bound in bounds.items() if bound is not None}
    nodes = [node("Clip", " ".join(["x", *(name if name in constants else "_" for name in bounds)]), "c")]
    value = "c"
    for op in below:
        windows = {"kernel_shape": [2, 2]} if not op.startswith("Global") else {}
        nodes.append(node(op, value, f"{value}{op}", **windows, **({"dilations": [2, 2]} if dilation > 1 else {})))
        value += op
    nodes += [node("Pad", f"{value} pads", "p"), node("MaxPool", "p", "y", kernel_shape=[2, 2])]
    constants["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    return model(nodes, {"x": ["batch", 4, 8, 8]}, ["y"], constants)


SAMPLES: dict[str, Sample] = {
    "conv-1d": lambda: padded(pads=(1, 2)),
    "conv-2d": lambda: padded(pads=(1, 0, 2, 1)),
    "conv-3d": lambda: padded(pads=(1, 0, 2, 1, 0, 2)),
    "conv-own-pads": lambda: padded(pads=(1, 0, 1, 1), own=[1, 1, 0, 1]),
    "conv-strided-dilated": lambda: padded(pads=(3, 2, 3, 3), strides=[2, 2], dilations=[2, 2]),
    "conv-grouped": lambda: padded(pads=(1, 1, 1, 1), group=2),
    "conv-valid": lambda: padded(pads=(1, 1, 1, 1), auto_pad="VALID"),
    "conv-opset-10": lambda: padded(pads=(1, 1, 1, 1), opset=10),
    "conv-axes": lambda: pad_of_axes((3, -2), (1, 2, 0, 1)),
    "conv-open-size": open_size,
    "average": lambda: padded("AveragePool", (1, 1, 1, 1)),
    "average-1d": lambda: padded("AveragePool", (0, 2)),
    "average-3d": lambda: padded("AveragePool", (1, 1, 1, 1, 1, 1), strides=[2, 2, 2]),
    "average-counting": lambda: padded("AveragePool", (1, 0, 1, 1), count_include_pad=1, own=[1, 1, 0, 0]),
    "max-infinite": lambda: padded("MaxPool", (1, 1, 1, 1), -INFINITY),
    "max-infinite-1d": lambda: padded("MaxPool", (1, 2), -INFINITY),
    "max-infinite-own-pads": lambda: padded("MaxPool", (1, 0, 1, 1), -INFINITY, own=[1, 1, 0, 0]),
    "max-after-relu": lambda: padded("MaxPool", (1, 1, 1, 1), before="Relu", strides=[2, 2]),
    "max-after-relu-3d": lambda: padded("MaxPool", (0, 1, 1, 2, 1, 1), before="Relu", strides=[2, 2, 2]),
    "max-after-sigmoid": lambda: padded("MaxPool", (1, 1, 1, 1), before="Sigmoid"),
    "max-after-softmax": lambda: padded("MaxPool", (1, 1, 1, 1), before="Softmax"),
    "max-after-clip": lambda: clipped(0, None),
    "max-after-relu6-and-pools": lambda: clipped(0, 6, ["AveragePool", "MaxPool"]),
}

DECLINES: dict[str, Sample] = {
    "another node reads the padded tensor": lambda: expose(padded(), "p"),
    "the pads or their value are not constant": lambda: overridable(padded(), "pads"),
    "pads or their value are not constant": lambda: overridable(padded(), "v"),
    "the mode is reflect": lambda: padded(mode="reflect"),
    "the mode is edge": lambda: padded(mode="edge"),
    "a negative pad crops": lambda: padded(pads=(1, -1)),
    "it pads the batch or the channels": lambda: pad_all((0, 0, 1, 1, 0, 1, 1, 1)),
    "pads the batch or the channels": lambda: pad_all((1, 0, 1, 1, 0, 0, 1, 1), "AveragePool"),
    "auto_pad sets the pads": lambda: padded(auto_pad="SAME_UPPER"),
    "ceil_mode rounds": lambda: padded("MaxPool", (1, 1), before="Relu", ceil_mode=1, strides=[2]),
    "the pads reach the size of the kernel": lambda: padded(pads=(3, 0)),
    "reach the size of the kernel": lambda: padded("MaxPool", (0, 3), -INFINITY),
    "size of the kernel": lambda: padded("AveragePool", (1, 1), count_include_pad=1, own=[2, 0]),
    "Conv pads with 0, not 1": lambda: padded(value=1),
    "AveragePool pads with 0, not -inf": lambda: padded("AveragePool", value=-INFINITY),
    "does not count its own pads": lambda: padded("AveragePool", own=[1, 1]),
    "the Indices of the MaxPool are read": lambda: padded("MaxPool", before="Relu", outputs="y i"),
    "a dilated window may see padding alone": lambda: padded("MaxPool", value=-INFINITY, dilations=[2]),
    "what is padded with 0 may be negative": lambda: padded("MaxPool"),
    "padded with 0 may be negative": lambda: padded("MaxPool", before="Tanh"),
    "with 0 may be negative": lambda: clipped(-1, 1),
    "0 may be negative": lambda: clipped(0, -3),  # a minimum above the maximum: all is -3
    "may be negative": lambda: overridable(clipped(0, None), "low"),
    "be negative": lambda: clipped(None, 6),
    "negative": lambda: clipped(0, 6, ["MaxPool"], dilation=2),
    "MaxPool pads with -inf, not 1": lambda: padded("MaxPool", value=1, before="Relu"),
}

LEAVES: dict[str, Sample] = {
    "no Pad": lambda: model([node("MaxPool", "x", "y", kernel_shape=[2])], {"x": [1, 2, 5]}),
    "LpPool": lambda: padded("LpPool"),
}
