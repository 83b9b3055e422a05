"""Graphs for hoist-stride."""

from __future__ import annotations

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm
from tests.contract.edits import expose
from tests.contract.graphs import model, node, weights


def sampled(rank: int = 2, stride: int = 2, inner_stride: int = 1, size: int | str = 9, **attributes: object) -> Sample:
    """Conv 3x3, Relu, Conv 1x1 of the stride; `attributes` are more of the first."""

    def build() -> onnx.ModelProto:
        inputs = 2 if attributes.get("group") else 4
        constants = {"w": weights(6, inputs, *(3,) * rank), "b": weights(6), "p": weights(5, 6, *(1,) * rank)}
        pads = {} if "auto_pad" in attributes else {"pads": [1] * 2 * rank}
        given = {"strides": [inner_stride] * rank, **pads, **attributes}
        nodes = [
            node("Conv", "x w b", "c", **given),
            node("Relu", "c", "r"),
            node("Conv", "r p", "y", strides=[stride] * rank),
        ]
        return model(nodes, {"x": ["batch", 4, *[size if axis == 0 else 8 for axis in range(rank)]]}, ["y"], constants)

    return build


def block(open_size: bool = False, second: dict[str, object] | None = None, total: str = "c s") -> onnx.ModelProto:
    """The end of a ResNet v1 stage: Relu(Conv + shortcut), read by a block's 1x1 and its projection."""
    size = "size" if open_size else 7
    constants = {"w": weights(4, 4, 3, 3), "p": weights(3, 4, 1, 1), "q": weights(5, 4, 1, 1)}
    nodes = [
        node("Relu", "x", "s"),
        node("Conv", "s w", "c", pads=[1, 1, 1, 1]),
        node("Add", total, "a"),
        node("Relu", "a", "t"),
        node("Conv", "t p", "y", strides=[2, 2]),
        node("Conv", "t q", "z", **({"strides": [2, 2]} if second is None else second)),
    ]
    return model(nodes, {"x": ["batch", 4, size, 6]}, ["y", "z"], constants)


def above(*nodes: onnx.NodeProto, **constants: np.ndarray) -> Sample:
    """Conv x -> c, the nodes c -> t, and the 1x1 convolution of stride 2."""

    def build() -> onnx.ModelProto:
        every = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), *nodes, node("Conv", "t p", "y", strides=[2, 2])]
        kernels = {"w": weights(4, 4, 3, 3), "p": weights(3, 4, 1, 1)}
        return model(every, {"x": ["batch", 4, 7, 6]}, ["y"], kernels | constants)

    return build


def sliced(starts: list[int], ends: list[int], axes: list[int], steps: list[int], relu: bool = True) -> Sample:
    names = {"s": starts, "e": ends, "a": axes, "t": steps}

    def build() -> onnx.ModelProto:
        nodes = [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("Slice", "r s e a t", "n"),
            *([node("Neg", "n", "y")] if relu else []),
        ]
        constants = {"w": weights(4, 4, 3, 3), **{name: np.array(values) for name, values in names.items()}}
        return model(nodes, {"x": ["batch", 4, 7, 6]}, ["y" if relu else "n"], constants)

    return build


def pooled(**attributes: object) -> Sample:
    """MaxPool, 1x1 convolution of stride 2."""

    def build() -> onnx.ModelProto:
        nodes = [
            node("MaxPool", "x", "m", kernel_shape=[3, 3], **attributes),
            node("Conv", "m p", "y", strides=[2, 2]),
        ]
        return model(nodes, {"x": ["batch", 4, 8, 8]}, ["y"], {"p": weights(3, 4, 1, 1)})

    return build


def two_strides() -> onnx.ModelProto:
    return block(second={"strides": [3, 3]})


def beside_a_reader(op: str, inputs: str, constants: dict[str, np.ndarray], **attributes: object) -> Sample:
    """The 1x1 convolution of stride 2 reads the map, and so does `op`."""

    def build() -> onnx.ModelProto:
        nodes = [
            node("Conv", "x w", "t", pads=[1, 1, 1, 1]),
            node("Conv", "t p", "y", strides=[2, 2]),
            node(op, inputs, "z", **attributes),
        ]
        kernels = {"w": weights(4, 4, 3, 3), "p": weights(3, 4, 1, 1)}
        return model(nodes, {"x": ["batch", 4, 7, 6]}, ["y", "z"], kernels | constants)

    return build


def two_slices_out() -> onnx.ModelProto:
    ints = {"s": np.array([0, 0]), "e": np.array([2**62, 2**62]), "a": np.array([2, 3]), "t": np.array([2, 2])}
    nodes = [node("Conv", "x w", "c"), node("Slice", "c s e a t", "y"), node("Slice", "c s e a t", "z")]
    return model(nodes, {"x": ["batch", 4, 7, 6]}, ["y", "z"], {"w": weights(4, 4, 3, 3)} | ints)


def read_twice() -> onnx.ModelProto:
    """Another node reads the only convolution above."""
    proto = sampled()()
    proto.graph.node.append(node("Neg", "c", "z"))
    proto.graph.output.append(next(v for v in proto.graph.value_info if v.name == "c"))
    proto.graph.output[-1].name = "z"
    return proto


def shortcut_sampled_before() -> onnx.ModelProto:
    nodes = [
        node("Conv", "x w", "s"),
        node("MaxPool", "s", "y", kernel_shape=[1, 1], strides=[2, 2]),
        node("Conv", "s w", "z"),
    ]
    return model(nodes, {"x": ["batch", 4, 9, 9]}, ["y", "z"], {"w": weights(4, 4, 3, 3)})


_FULL = 2**63 - 1
_SPLIT_GATE = (node("Sigmoid", "c", "g"), node("Mul", "c g", "t"))

SAMPLES: dict[str, Sample] = {
    "1d": sampled(1),
    "2d": sampled(2),
    "3d": sampled(3),
    "stride-3": sampled(stride=3),
    "strided-itself": sampled(inner_stride=2),
    "even-size": sampled(size=8),
    "open-size": sampled(size="height"),
    "dilated": sampled(dilations=[2, 2]),
    "valid": sampled(auto_pad="VALID"),
    "grouped": sampled(group=2),
    "residual": block,
    "residual-shortcut-first": lambda: block(total="s c"),
    "residual-open-size": lambda: block(open_size=True),
    "batchnorm": above(node("BatchNormalization", "c gamma beta mean var", "t"), **batchnorm(4)),
    "silu": above(*_SPLIT_GATE),
    "clip": above(node("Clip", "c low high", "t"), low=np.float32(-1).reshape(()), high=np.float32(1).reshape(())),
    "prelu": above(node("PRelu", "c slope", "t"), slope=weights(4, 1, 1)),
    "channel-constant": above(node("Mul", "k c", "t"), k=weights(1, 4, 1, 1)),
    "spatial-constant": above(node("Add", "c k", "t"), k=weights(4, 7, 6)),
    "row-constant": above(node("Add", "c k", "t"), k=weights(6)),
    "slice": sliced([0, 0], [_FULL, _FULL], [2, 3], [2, 2]),
    "slice-to-the-size": sliced([0, 0], [7, 6], [-2, -1], [2, 2]),
    "slice-one-axis": sliced([0], [_FULL], [3], [2]),
    "slice-is-the-output": sliced([0, 0], [_FULL, _FULL], [2, 3], [2, 2], relu=False),
    "slice-and-convolution": beside_a_reader(
        "Slice",
        "t s e a k",
        {"s": np.array([0, 0]), "e": np.array([99, 99]), "a": np.array([2, 3]), "k": np.array([2, 2])},
    ),
    "pool-above": pooled(strides=[2, 2]),
    "average-pool-below": beside_a_reader("AveragePool", "t", {}, kernel_shape=[1, 1], strides=[2, 2]),
}

DECLINES: dict[str, Sample] = {
    "the caller sees every position": lambda: expose(sampled()(), "r"),
    "take different positions": two_strides,
    "its readers take different positions": lambda: block(second={}),  # stride 1
    "readers take different": lambda: block(second={"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "its readers take different": beside_a_reader("Conv", "t v", {"v": weights(3, 4, 3, 3)}, strides=[2, 2]),
    "readers take different positions": beside_a_reader(
        "Slice",
        "t s e a k",
        {"s": np.array([1, 0]), "e": np.array([99, 99]), "a": np.array([2, 3]), "k": np.array([2, 2])},
    ),
    "two outputs of the graph would be one value": two_slices_out,
    "'c' is read at every position": read_twice,
    "nothing above it can take the stride: 'c' is read at every position": lambda: expose(sampled()(), "c"),
    "auto_pad SAME_UPPER": sampled(auto_pad="SAME_UPPER"),
    "has ceil_mode": pooled(ceil_mode=1, strides=[2, 2]),
    "'x' comes from no convolution or pooling": lambda: model(
        [node("Relu", "x", "r"), node("Conv", "r p", "y", strides=[2, 2])],
        {"x": ["batch", 4, 7, 7]},
        ["y"],
        {"p": weights(3, 4, 1, 1)},
    ),
    "is not elementwise on maps of one rank": lambda: model(
        [node("Conv", "x w", "c"), node("Add", "c z", "t"), node("Conv", "t p", "y", strides=[2, 2])],
        {"x": ["batch", 4, 7, 7], "z": [5, 5]},
        ["y"],
        {"w": weights(4, 4, 3, 3), "p": weights(3, 4, 1, 1)},
    ),
    "or its Indices are read": lambda: model(
        [node("MaxPool", "x", "m i", kernel_shape=[3, 3]), node("Conv", "m p", "y", strides=[2, 2]),
         node("Cast", "i", "z", to=1)],
        {"x": ["batch", 4, 8, 8]},
        ["y", "z"],
        {"p": weights(3, 4, 1, 1)},
    ),
}  # fmt: skip

LEAVES: dict[str, Sample] = {
    "no stride": sampled(stride=1),
    "a kernel that reads between the positions": lambda: model(
        [node("Conv", "x w", "c"), node("Conv", "c w", "y", strides=[2, 2])],
        {"x": ["batch", 4, 9, 9]},
        ["y"],
        {"w": weights(4, 4, 3, 3)},
    ),
    "a slice that starts at 1": sliced([1, 0], [_FULL, _FULL], [2, 3], [2, 2]),
    "a slice that ends early": sliced([0, 0], [5, _FULL], [2, 3], [2, 2]),
    "a slice of channels": sliced([0], [_FULL], [1], [2]),
    "a shortcut that was sampled before": shortcut_sampled_before,
}
