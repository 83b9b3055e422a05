"""Graphs for merge-parallel."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tests.contract.blocks import Sample, batchnorm
from tests.contract.edits import expose, overridable, set_attribute, to_float16
from tests.contract.graphs import model, node, weights

Branch = tuple[onnx.NodeProto, dict[str, np.ndarray]]
"""A node that reads x, named as its output, and its constants."""


def conv(
    name: str,
    kernel: tuple[int, ...],
    *,
    channels: int = 4,
    outputs: int = 4,
    groups: int = 1,
    bias: bool = False,
    **attributes: object,
) -> Branch:
    constants = {f"w{name}": weights(outputs, channels // groups, *kernel)}
    if bias:
        constants[f"b{name}"] = weights(outputs)
    inputs = " ".join(["x", *constants])
    return node("Conv", inputs, name, group=groups, **attributes), constants


def same(name: str, kernel: int, rank: int = 2, dilation: int = 1, stride: int = 1, **options: object) -> Branch:
    """A Conv with the padding that keeps the size at stride 1."""
    pads = [dilation * (kernel // 2)] * 2 * rank
    return conv(name, (kernel,) * rank, pads=pads, dilations=[dilation] * rank, strides=[stride] * rank, **options)


def bn(name: str) -> Branch:
    constants = {f"{role}{name}": array for role, array in batchnorm(4).items()}
    return node("BatchNormalization", " ".join(["x", *constants]), name), constants


def pool(name: str, pad: int = 1, **attributes: object) -> Branch:
    return node("AveragePool", "x", name, kernel_shape=[3, 3], pads=[pad] * 4, **attributes), {}


def scale(name: str, factor: np.ndarray, inputs: str | None = None) -> Branch:
    return node("Mul", inputs or f"x f{name}", name), {f"f{name}": factor}


def summed(
    *branches: Branch, plus: str = "", size: tuple[int | str, ...] = (6, 7), op: str = "Add", channels: int = 4
) -> onnx.ModelProto:
    """The branches and the values `plus`, in a chain of Adds or one Sum, then Neg."""
    nodes = [branch for branch, _ in branches]
    constants = {name: array for _, own in branches for name, array in own.items()}
    terms = [*(branch.output[0] for branch in nodes), *plus.split()]
    if op == "Sum":
        nodes.append(node("Sum", " ".join(terms), "total"))
    else:
        total = terms[0]
        for index, term in enumerate(terms[1:], 1):
            result = "total" if index == len(terms) - 1 else f"sum{index}"
            nodes.append(node("Add", f"{total} {term}", result))
            total = result
    nodes.append(node("Neg", "total", "y"))
    inputs = {"x": ["batch", channels, *size], **({"z": ["batch", 4, *size]} if "z" in plus.split() else {})}
    return model(nodes, inputs, ["y"], constants)


def repvgg(rank: int = 2, size: tuple[int | str, ...] = (6, 7)) -> onnx.ModelProto:
    return summed(same("a", 3, rank, bias=True), same("b", 1, rank), bn("c"), size=size)


def balanced_tree() -> onnx.ModelProto:
    """(a + b) + (c + x): neither inner sum is a chain."""
    parts = [same("a", 3), same("b", 1), bn("c")]
    constants = {name: array for _, own in parts for name, array in own.items()}
    adds = [node("Add", "a b", "left"), node("Add", "c x", "right"), node("Add", "left right", "y")]
    return model([*(part for part, _ in parts), *adds], {"x": ["batch", 4, 5, 5]}, ["y"], constants)


def two_readers() -> onnx.ModelProto:
    return expose(summed(same("a", 3), same("b", 1)), "b")


def half_overflow() -> onnx.ModelProto:
    """Two weights of 4e4 are within float16's range, their sum is not."""
    proto = summed(same("a", 3), same("b", 3))
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), 4e4, np.float32), tensor.name))
    return to_float16(proto)


def negative_variance() -> onnx.ModelProto:
    branch, constants = bn("b")
    return summed(same("a", 3), (branch, constants | {"varb": np.full(4, -1, np.float32)}))


def through_an_activation() -> onnx.ModelProto:
    parts = [same("a", 3), same("b", 1)]
    constants = {name: array for _, own in parts for name, array in own.items()}
    nodes = [*(part for part, _ in parts), node("Relu", "b", "r"), node("Add", "a r", "y")]
    return model(nodes, {"x": ["batch", 4, 5, 5]}, ["y"], constants)


def different_inputs() -> onnx.ModelProto:
    first, constants = same("a", 3)
    second = node("Conv", "z w", "b")
    nodes = [first, second, node("Add", "a b", "y")]
    inputs = {"x": ["batch", 4, 5, 5], "z": ["batch", 4, 5, 5]}
    return model(nodes, inputs, ["y"], constants | {"w": weights(4, 4, 1, 1)})


SAMPLES: dict[str, Sample] = {
    "repvgg-1d": lambda: repvgg(1, (7,)),
    "repvgg-2d": repvgg,
    "repvgg-3d": lambda: repvgg(3, (4, 5, 6)),
    "open-height-and-width": lambda: repvgg(2, ("height", "width")),
    "mobileone-depthwise": lambda: summed(
        *(same(name, 3, groups=4) for name in "abc"), same("d", 1, groups=4), bn("e")
    ),
    "mobileone-pointwise": lambda: summed(*(same(name, 1) for name in "abc"), bn("d")),
    "x-itself": lambda: summed(same("a", 3), plus="x"),
    "x-itself-depthwise": lambda: summed(same("a", 3, groups=4, bias=True), same("b", 1, groups=4), plus="x"),
    "acnet": lambda: summed(
        conv("a", (3, 1), pads=[1, 0, 1, 0]), same("b", 3, bias=True), conv("c", (1, 3), pads=[0, 1, 0, 1], bias=True)
    ),
    "pads-set-the-offset": lambda: summed(
        conv("a", (5, 5), pads=[3, 1, 1, 3]), conv("b", (3, 3), pads=[0, 2, 2, 0]), conv("c", (2, 2), pads=[0, 0, 1, 1])
    ),
    "a-padded-1x1": lambda: summed(conv("a", (3, 3), pads=[2] * 4), conv("b", (1, 1), pads=[1] * 4, bias=True)),
    "unpadded": lambda: summed(conv("a", (3, 2)), conv("b", (3, 2))),
    "auto-pad": lambda: summed(conv("a", (3, 4), auto_pad="SAME_UPPER"), conv("b", (2, 3), auto_pad="SAME_LOWER")),
    "strided": lambda: summed(same("a", 3, stride=2), same("b", 1, stride=2, bias=True)),
    "strided-open": lambda: summed(same("a", 3, stride=2), same("b", 1, stride=2), size=("height", "width")),
    "strided-ends-differ": lambda: summed(
        conv("a", (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]), conv("b", (2, 2), strides=[2, 2]), size=(8, 8)
    ),
    "dilated": lambda: summed(same("a", 3, dilation=2), same("b", 3, dilation=2), same("c", 1)),
    "1x1-with-a-dilation": lambda: summed(same("a", 3, dilation=2), same("b", 1, dilation=5)),
    "dilated-into-large-kernel": lambda: summed(
        same("a", 7, groups=4), same("b", 3, dilation=3, groups=4), same("c", 3, dilation=2, groups=4), size=(9, 9)
    ),
    "grouped": lambda: summed(same("a", 3, groups=2, outputs=6), same("b", 1, groups=2, outputs=6)),
    "depthwise-into-dense": lambda: summed(same("a", 3), same("b", 3, groups=4, bias=True)),
    "groups-into-fewer": lambda: summed(
        same("a", 3, groups=2, channels=8, outputs=8), same("b", 3, groups=4, channels=8, outputs=8), channels=8
    ),
    "depth-multiplier": lambda: summed(same("a", 3, groups=4, outputs=8), same("b", 1, groups=4, outputs=8)),
    "average-pool": lambda: summed(same("a", 3), pool("b", count_include_pad=1)),
    "average-pool-unpadded": lambda: summed(conv("a", (3, 3)), pool("b", pad=0)),
    "channel-factor": lambda: summed(same("a", 3), scale("b", weights(4, 1, 1))),
    "scalar-factor-first": lambda: summed(same("a", 3), scale("b", weights(1), "fb x")),
    "other-factors": lambda: summed(
        same("a", 3), (node("Neg", "x", "b"), {}), (node("Div", "x d", "c"), {"d": weights(4, 1, 1, low=0.5)})
    ),
    "a-residual-stays": lambda: summed(same("a", 3), same("b", 1), plus="z"),
    "sum-of-many": lambda: summed(same("a", 3), same("b", 1), bn("c"), op="Sum", plus="x"),
    "sum-with-others": lambda: summed(same("a", 3), same("b", 1), op="Sum", plus="z z"),
    "balanced-tree": balanced_tree,
}

DECLINES: dict[str, Sample] = {
    "another node reads a branch": two_readers,
    "a weight or bias is not constant": lambda: overridable(summed(same("a", 3), same("b", 1)), "wb"),
    "weight or bias": lambda: overridable(summed(same("a", 3, bias=True), same("b", 1)), "ba"),
    "a parameter of the BatchNormalization is not constant": lambda: overridable(
        summed(same("a", 3), bn("b")), "gammab"
    ),
    "may be overridden": lambda: overridable(summed(same("a", 3), scale("b", weights(4, 1, 1))), "fb"),
    "is not per channel": lambda: summed(same("a", 3), scale("b", weights(1, 1, 1, 7))),
    "of shape (6, 7) is not": lambda: summed(same("a", 3), scale("b", weights(6, 7))),
    "training_mode is set": lambda: set_attribute(summed(same("a", 3), bn("b")), 1, training_mode=1),
    "statistics are per position": lambda: set_attribute(summed(same("a", 3), bn("b")), 1, spatial=0),
    "variance + epsilon is not positive": negative_variance,
    "the strides of two branches differ": lambda: summed(
        conv("a", (3, 3), pads=[1] * 4, strides=[2, 2]), conv("b", (3, 4)), size=(5, 6)
    ),
    "strides of two": lambda: summed(same("a", 3, stride=2), bn("b"), size=(1, 1)),  # BN(x) has stride 1
    "strides": lambda: summed(same("a", 3, stride=2), plus="x", size=(1, 1)),  # and so has x
    "does not have exactly the sum's shape": lambda: summed(same("a", 3, channels=1), plus="x", channels=1),
    "exactly the sum's shape": lambda: summed(conv("a", (6, 7)), conv("b", (1, 1))),
    "does not count its padding": lambda: summed(same("a", 3), pool("b")),
    "ceil_mode of an AveragePool is set": lambda: summed(conv("a", (3, 3)), pool("b", pad=0, ceil_mode=1)),
    "the padding of a Conv varies with an open size": lambda: summed(
        *(conv(name, (3, 3), auto_pad="SAME_UPPER", strides=[2, 2]) for name in "ab"), size=("height", "width")
    ),
    "costs more than its branches": lambda: summed(same("a", 3, dilation=2), same("b", 3)),  # 25 taps for 18
    "costs more": lambda: summed(same("a", 1), same("b", 3, groups=4)),  # dense 3x3
    "the merged kernel costs more": lambda: summed(
        conv("a", (3, 3), pads=[2, 2, 0, 0]), conv("b", (3, 3), pads=[0, 0, 2, 2])
    ),
    "a merged value does not fit float16": half_overflow,
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": through_an_activation,
    "the inputs differ": different_inputs,
    "no branch is a Conv": lambda: summed(bn("a"), pool("b", count_include_pad=1), plus="x"),
    "a gate is no constant": lambda: summed(same("a", 3), (node("Mul", "x x", "b"), {})),
    "a residual of another value": lambda: summed(same("a", 3), plus="z"),
}
