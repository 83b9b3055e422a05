"""Graphs for pool-before-pointwise."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, set_attribute
from tests.contract.graphs import model, node, weights


def conv_pool(
    rank: int = 2, bias: bool = True, kernel: int = 1, groups: int = 1, open_size: bool = False, **attributes: object
) -> onnx.ModelProto:
    """A Conv 8 -> 6 of `kernel`, then an AveragePool of 2 and stride 2, or with other attributes, then Neg."""
    constants = {"w": weights(6, 8 // groups, *(kernel,) * rank), **({"b": weights(6)} if bias else {})}
    window = {"kernel_shape": [2] * rank, "strides": [2] * rank, **attributes}
    nodes = [
        node("Conv", " ".join(["x", *constants]), "c", group=groups),
        node("AveragePool", "c", "p", **window),
        node("Neg", "p", "y"),
    ]
    size = [f"size{axis}" if open_size else 7 for axis in range(rank)]
    return model(nodes, {"x": ["batch", 8, *size]}, ["y"], constants)


def whole_map() -> onnx.ModelProto:
    """The last pooling of older nets: 7x7 at stride 1, which is the whole map."""
    return conv_pool(kernel_shape=[7, 7], strides=[1, 1])


def through_an_activation() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("AveragePool", "r", "y", kernel_shape=[2, 2])]
    return model(nodes, {"x": [1, 8, 6, 6]}, ["y"], {"w": weights(4, 8, 1, 1)})


def narrow_output() -> onnx.ModelProto:
    """64 inputs for 2 outputs, pooled at stride 2: more bytes move if the wide map is pooled."""
    nodes = [node("Conv", "x w", "c"), node("AveragePool", "c", "y", kernel_shape=[2, 2], strides=[2, 2])]
    return model(nodes, {"x": ["batch", 64, 8, 8]}, ["y"], {"w": weights(2, 64, 1, 1)})


SAMPLES: dict[str, Sample] = {
    "1d": lambda: conv_pool(1),
    "2d": conv_pool,
    "3d": lambda: conv_pool(3),
    "no-bias": lambda: conv_pool(bias=False),
    "grouped": lambda: conv_pool(groups=2),
    "open-size": lambda: conv_pool(open_size=True),
    "padding-left-out": lambda: conv_pool(pads=[1, 1, 1, 1]),
    "padding-counted-without-bias": lambda: conv_pool(bias=False, pads=[1, 1, 1, 1], count_include_pad=1),
    "count-include-pad-unpadded": lambda: conv_pool(count_include_pad=1),
    "ceil-mode": lambda: conv_pool(ceil_mode=1),
    "whole-map": whole_map,
}

DECLINES: dict[str, Sample] = {
    "another node reads the convolution": lambda: expose(conv_pool(), "c"),
    "has a stride or padding": lambda: set_attribute(conv_pool(), 0, strides=[1, 2]),
    "a stride or padding": lambda: set_attribute(conv_pool(pads=[1, 1, 1, 1]), 0, pads=[0, 0, 0, 1]),
    "counts padding, which has no bias": lambda: conv_pool(pads=[1, 1, 1, 1], count_include_pad=1),
    "counts padding": lambda: conv_pool(auto_pad="SAME_UPPER", count_include_pad=1),
    "the pooling counts padding": lambda: conv_pool(ceil_mode=1, count_include_pad=1),
    "bytes moved instead of": narrow_output,
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": through_an_activation,
    "the kernel is larger": lambda: conv_pool(kernel=3),
}
