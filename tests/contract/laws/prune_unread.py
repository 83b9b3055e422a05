"""Graphs for prune-unread."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node, weights


def zeroed(array: np.ndarray, *channels: int, axis: int = 1) -> np.ndarray:
    """The array with `channels` of `axis` set to zero."""
    array = array.copy()
    array[(slice(None),) * axis + (list(channels),)] = 0
    return array


def conv_relu_conv(rank: int = 2, pad: int = 1) -> onnx.ModelProto:
    """The second convolution has weights of zero for channels 1 and 4 of six."""
    constants = {
        "w": weights(6, 3, *(3,) * rank),
        "b": weights(6),
        "v": zeroed(weights(5, 6, *(3,) * rank), 1, 4),
    }
    nodes = [node("Conv", "x w b", "a"), node("Relu", "a", "r"), node("Conv", "r v", "y", pads=[pad] * 2 * rank)]
    return model(nodes, {"x": ["batch", 3, *(7,) * rank]}, ["y"], constants)


def sliced(start: int = 1, end: int = 5, step: int = 1, first: str = "Conv", last: str = "Neg") -> onnx.ModelProto:
    """Some channels of six go on."""
    limits = {"s": [start], "e": [end], "k": [1], "t": [step]}
    constants = {
        "w": weights(6, 3, 3, 3) if first == "Conv" else weights(3, 6, 3, 3),
        **{name: np.array(value) for name, value in limits.items()},
        **batchnorm(6),
    }
    nodes = [
        node(first, "x w", "a"),
        node("BatchNormalization", "a gamma beta mean var", "n"),
        node("Slice", "n s e k t", "c"),
        node(last, "c", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def split(opset: int = 20, equal: bool = False) -> onnx.ModelProto:
    """Three parts, of which the second meets weights of zero in one channel."""
    sizes = [2, 2, 2] if equal else [1, 3, 2]
    constants = {"w": weights(6, 3, 3, 3), "v": zeroed(weights(4, sizes[1], 1, 1), 0)}
    attributes: dict[str, object] = {"axis": 1}
    if opset < 13:
        attributes["split"] = sizes
    elif equal:
        attributes["num_outputs"] = 3
    else:
        constants["k"] = np.array(sizes)
    nodes = [
        node("Conv", "x w", "a"),
        node("Split", "a k" if "k" in constants else "a", "p q r", **attributes),
        node("Conv", "q v", "y"),
        node("Neg", "p", "z"),
        node("Neg", "r", "u"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y", "z", "u"], constants, opset=opset)


def residual(columns: tuple[int, ...] = (1, 4), also: bool = False) -> onnx.ModelProto:
    """conv(x) + conv(conv(x)), read through weights of zero for `columns`; `also` by the inner convolution."""
    inner = weights(6, 6, 3, 3)
    constants = {
        "w": weights(6, 3, 3, 3),
        "v": inner if also else zeroed(inner, 1, 4),
        "u": zeroed(weights(5, 6, 1, 1), *columns),
    }
    nodes = [
        node("Conv", "x w", "s", pads=[1, 1, 1, 1]),
        node("Conv", "s v", "c", pads=[1, 1, 1, 1]),
        node("Add", "c s", "a"),
        node("Conv", "a u", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def residual_of_two() -> onnx.ModelProto:
    """Two convolutions, whose sum meets weights of zero."""
    constants = {"w": weights(6, 3, 3, 3), "u": weights(6, 3, 3, 3), "v": zeroed(weights(5, 6, 1, 1), 1)}
    nodes = [node("Conv", "x w", "a"), node("Conv", "x u", "c"), node("Add", "a c", "t"), node("Conv", "t v", "y")]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def classifier(trans_b: int = 0) -> onnx.ModelProto:
    """All four columns of channels 1 and 4 meet zeros, and one column of channel 2."""
    matrix = zeroed(weights(5, 24), *range(4, 8), *range(16, 20), 9)
    constants = {"w": weights(6, 3, 3, 3), "m": matrix if trans_b else matrix.T.copy()}
    nodes = [
        node("Conv", "x w", "a"),
        node("GlobalMaxPool" if trans_b > 1 else "MaxPool", "a", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "p", "f"),
        node("Gemm", "f m", "y", transB=trans_b),
    ]
    return model(nodes, {"x": ["batch", 3, 6, 6]}, ["y"], constants)


def concatenated() -> onnx.ModelProto:
    """A channel of each branch meets zeros."""
    constants = {"w": weights(6, 3, 3, 3), "u": weights(4, 3, 3, 3), "v": zeroed(weights(5, 10, 3, 3), 4, 7)}
    nodes = [
        node("Conv", "x w", "a"),
        node("ConvTranspose", "x t", "c"),
        node("Slice", "c one nine axes", "d"),
        node("Concat", "a d", "t1", axis=1),
        node("Conv", "t1 v", "y"),
    ]
    limits = {"one": np.array([1, 1]), "nine": np.array([-1, -1]), "axes": np.array([2, 3])}
    constants |= {"t": weights(3, 4, 1, 1), **limits}
    del constants["u"]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def depthwise() -> onnx.ModelProto:
    constants = {"w": weights(6, 3, 1, 1), "d": weights(6, 1, 3, 3), "b": weights(6)}
    constants["v"] = zeroed(weights(5, 6, 1, 1), 1, 4)
    nodes = [
        node("Conv", "x w", "a"),
        node("Conv", "a d b", "t", group=6, pads=[1, 1, 1, 1]),
        node("Conv", "t v", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def last_of_its_value() -> onnx.ModelProto:
    constants = {"w": weights(1, 3, 3, 3), "v": np.zeros((4, 1, 1, 1), np.float32)}
    return model([node("Conv", "x w", "a"), node("Conv", "a v", "y")], {"x": ["batch", 3, 7, 7]}, ["y"], constants)


def with_an_input(constants: dict[str, np.ndarray], *nodes: onnx.NodeProto) -> Sample:
    """Conv x -> a, `nodes` a, z -> t, and a convolution that has weights of zero for channels 1 and 4."""

    def build() -> onnx.ModelProto:
        kernels = {"w": weights(6, 3, 3, 3), "v": zeroed(weights(5, 6, 1, 1), 1, 4), **constants}
        every = [node("Conv", "x w", "a"), *nodes, node("Conv", "t v", "y")]
        return model(every, {"x": ["batch", 3, 7, 7], "z": ["batch", 6, 5, 5]}, ["y"], kernels)

    return build


SAMPLES: dict[str, Sample] = {
    "1d": lambda: conv_relu_conv(1),
    "2d": conv_relu_conv,
    "3d": lambda: conv_relu_conv(3),
    "slice": sliced,
    "slice to the end": lambda: sliced(start=-2, end=2**62),
    "slice of a conv-transpose": lambda: sliced(first="ConvTranspose"),
    "split": split,
    "split, opset 11": lambda: split(opset=11),
    "split in equal parts": lambda: split(equal=True),
    "residual": residual,
    "flatten": classifier,
    "flatten, transposed weight": lambda: classifier(trans_b=1),
    "concat": concatenated,
    "depthwise": depthwise,
}

DECLINES: dict[str, Sample] = {
    "one channel has to stay": last_of_its_value,
    "Conv 'Conv_a': the weight or bias is not constant": lambda: overridable(residual_of_two(), "w"),
    "'z' is not computed": with_an_input({}, node("Add", "a z", "t")),
    "LRN 'LRN_l' does not keep the channels apart": with_an_input(
        {}, node("LRN", "z", "l", size=3), node("Add", "a l", "t")
    ),
    "its groups would become unequal": lambda: model(
        [
            node("Conv", "x w", "a", group=2),
            node("Conv", "x u", "c"),
            node("Add", "a c", "t"),
            node("Conv", "t v", "y"),
        ],
        {"x": ["batch", 4, 7, 7]},
        ["y"],
        {"w": weights(6, 2, 3, 3), "u": weights(6, 4, 3, 3), "v": zeroed(weights(5, 6, 1, 1), 1)},
    ),
}


LEAVES: dict[str, Sample] = {
    "every channel is read": lambda: residual(columns=()),
    "one reader of two meets zeros": lambda: residual(also=True),
    "the caller sees them": lambda: expose(conv_relu_conv(), "r"),
    "a caller may fill the zeros": lambda: overridable(conv_relu_conv(), "v"),
    "every second channel": lambda: sliced(start=0, end=6, step=2),
    "all of them": lambda: sliced(start=0, end=6),
}
