"""Graphs for explicit-pads."""

from __future__ import annotations

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose
from tests.contract.graphs import model, node, weights


def conv(
    auto_pad: str, rank: int = 2, *, op: str = "Conv", kernel: int = 3, size: int | str = 7, **attributes: object
) -> onnx.ModelProto:
    """A convolution and Neg."""
    constants = {"w": weights(4, 4, *(kernel,) * rank)}
    sizes = [f"{size}{axis}" if isinstance(size, str) else size for axis in range(rank)]
    nodes = [node(op, "x w", "c", auto_pad=auto_pad, **attributes), node("Neg", "c", "y")]
    return model(nodes, {"x": ["batch", 4, *sizes]}, ["y"], constants)


def pool(op: str, auto_pad: str, rank: int = 2, *, size: int = 7, **attributes: object) -> onnx.ModelProto:
    """A pooling and Neg."""
    window = {"kernel_shape": [3] * rank, "strides": [2] * rank, **attributes}
    nodes = [node(op, "x", "p", auto_pad=auto_pad, **window), node("Neg", "p", "y")]
    return model(nodes, {"x": ["batch", 4, *(size,) * rank]}, ["y"])


def with_indices() -> onnx.ModelProto:
    nodes = [
        node("MaxPool", "x", "y indices", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
        node("Cast", "indices", "where", to=onnx.TensorProto.FLOAT),
    ]
    return model(nodes, {"x": ["batch", 4, 5, 5]}, ["y", "where"])


def kernel_as_input() -> onnx.ModelProto:
    """The weight is an input of a shape that nobody states."""
    proto = model([node("Conv", "x w", "y", auto_pad="SAME_UPPER")], {"x": [1, 4, 7, 7], "w": [4, 4, "k", "k"]})
    return proto


SAMPLES: dict[str, Sample] = {
    "valid": lambda: conv("VALID", strides=[2, 2]),
    "valid-dilated": lambda: conv("VALID", dilations=[2, 2]),
    "same-upper-1d": lambda: conv("SAME_UPPER", 1, strides=[2], size=8),
    "same-upper-2d": lambda: conv("SAME_UPPER", kernel=4, strides=[2, 3]),
    "same-lower-2d": lambda: conv("SAME_LOWER", kernel=4),
    "same-upper-3d": lambda: conv("SAME_UPPER", 3, strides=[2, 2, 1], size=6),
    "same-of-a-narrow-kernel": lambda: conv("SAME_LOWER", kernel=2, strides=[3, 3], size=8),
    "same-of-an-open-size": lambda: conv("SAME_UPPER", size="n"),
    "same-1x1-strided-of-an-open-size": lambda: conv("SAME_UPPER", kernel=1, strides=[2, 2], size="n"),
    "transposed-valid": lambda: conv("VALID", op="ConvTranspose", strides=[2, 2]),
    "transposed-same-upper": lambda: conv("SAME_UPPER", op="ConvTranspose", kernel=4, strides=[1, 2]),
    "transposed-same-lower": lambda: conv("SAME_LOWER", op="ConvTranspose", strides=[2, 2]),
    "max-pool": lambda: pool("MaxPool", "SAME_UPPER", size=6),
    "max-pool-lower-ceil-mode": lambda: pool("MaxPool", "SAME_LOWER", ceil_mode=1),
    "max-pool-valid-ceil-mode": lambda: pool("MaxPool", "VALID", ceil_mode=1, size=8),
    "max-pool-indices": with_indices,
    "average-pool-1d": lambda: pool("AveragePool", "SAME_LOWER", 1, size=6),
    "average-pool": lambda: pool("AveragePool", "SAME_UPPER", size=6),
    "average-pool-counts-padding": lambda: pool("AveragePool", "SAME_UPPER", size=6, count_include_pad=1),
    "lp-pool": lambda: pool("LpPool", "SAME_UPPER", size=6),
}

DECLINES: dict[str, Sample] = {
    "the size of the kernel is not known": kernel_as_input,
    "the padding varies with an open size": lambda: conv("SAME_UPPER", strides=[2, 2], size="n"),
    "output_shape sets the pads": lambda: conv("SAME_UPPER", op="ConvTranspose", output_shape=[9, 9]),
    "the kernel is shorter than the stride": lambda: conv("SAME_UPPER", op="ConvTranspose", kernel=2, strides=[3, 3]),
}

LEAVES: dict[str, Sample] = {
    "no auto_pad": lambda: expose(conv("NOTSET", pads=[1, 1, 1, 1]), "c"),
    "no attribute": lambda: model([node("MaxPool", "x", "y", kernel_shape=[2])], {"x": [1, 2, 6]}),
}
