"""Receptive fields of the networks that figures are published for, and of the zoo's."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from cnnc.analysis.geometry import ReceptiveField, receptive_fields
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc_passes.infer_shapes import InferShapes
from tests.contract.graphs import model, node

Layer = tuple[int, int, int]
"""(kernel, stride, padding); of which operator makes no difference."""


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def conv(x: str, y: str, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> onnx.NodeProto:
    """Over one channel; its weight is named after the kernel, `w3`."""
    return node("Conv", f"{x} w{kernel}", y, strides=[stride] * 2, pads=[padding] * 4, dilations=[dilation] * 2)


KERNELS = {f"w{size}": ones(1, 1, size, size) for size in (1, 2, 3, 5, 7, 11)}


def fields(nodes: Sequence[onnx.NodeProto], *shape: int, **constants: np.ndarray) -> dict[str, ReceptiveField]:
    """By the values' names; the input is `x`, of `shape`, the output `y`."""
    used = {name for entry in nodes for name in entry.input}
    weights = {name: array for name, array in {**KERNELS, **constants}.items() if name in used}
    graph = ir.from_proto(model(nodes, {"x": shape}, constants=weights)).graph
    return {str(value.name): field for value, field in receptive_fields(graph, {}).items()}


def chain(layers: Sequence[Layer], size: int = 224) -> ReceptiveField:
    """Of the last of these layers."""
    names = ["x", *(f"v{place}" for place in range(1, len(layers))), "y"]
    nodes = [conv(names[place], names[place + 1], *layer) for place, layer in enumerate(layers)]
    return fields(nodes, 1, 1, size, size)["y"]


def square(field: ReceptiveField) -> tuple[int, Fraction, Fraction]:
    """Size, jump and start, which must be the same for both axes; without a global path."""
    assert field.size == field.local
    assert len(field.size) == 2 and len(set(field.size)) == len(set(field.jump)) == len(set(field.start)) == 1
    return field.size[0], field.jump[0], field.start[0]


ALEXNET = [(11, 4, 2), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0)]
VGG16 = [layer for convs in (2, 2, 3, 3, 3) for layer in [(3, 1, 1)] * convs + [(2, 2, 0)]]
MOBILENET = [(3, stride, 1) for stride in (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)]  # the 1x1 between add nothing


@pytest.mark.parametrize(("layers", "size", "jump"), [(ALEXNET, 195, 32), (VGG16, 212, 32), (MOBILENET, 315, 32)])
def test_published_chains(layers: list[Layer], size: int, jump: int) -> None:
    """Araujo et al. (2019): alexnet_v2 and vgg_16 at pool5, mobilenet_v1 at its last convolution.

    Kernels and strides of TF-Slim's alexnet_v2 are those of our AlexNet; its first padding is none where ours is 2,
    which moves the fields and leaves their size.
    """
    assert square(chain(layers))[:2] == (size, jump)


def test_vgg_start_is_the_published_padding() -> None:
    """An effective padding of 90: the first field, of 212, runs from pixel -90 to 121."""
    field = chain(VGG16)
    assert field.start == (Fraction(31, 2),) * 2
    assert field.interval((0, 3)) == ((-90, 121), (-90 + 96, 121 + 96))


def bottlenecks(blocks: Sequence[int], *, stride_in_1x1: bool) -> list[onnx.NodeProto]:
    """ResNet without its channels; `pool` is the first max pooling, `y` the last sum."""
    nodes = [
        conv("x", "stem", 7, 2, 3),
        node("MaxPool", "stem", "v", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    ]
    last = "v"
    for stage, depth in enumerate(blocks):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            first, second = (stride, 1) if stride_in_1x1 else (1, stride)
            name = f"s{stage}b{block}"
            nodes += [conv(last, f"{name}a", 1, first), conv(f"{name}a", f"{name}b", 3, second, 1)]
            nodes += [conv(f"{name}b", f"{name}c", 1), conv(last, f"{name}d", 1, stride)]
            nodes.append(node("Add", f"{name}c {name}d", name))
            last = name
    return [*nodes, node("Relu", last, "y")]


@pytest.mark.parametrize(
    ("blocks", "stride_in_1x1", "size"),
    [
        ((3, 4, 6, 3), True, 483),  # resnet_v1_50
        ((3, 4, 23, 3), True, 1027),  # resnet_v1_101
        # torchvision's v1.5: the first 3x3 of stages 2 to 4 comes before the stride, not after: 8, 16 and 32 less.
        ((3, 4, 6, 3), False, 483 - 8 - 16 - 32),
    ],
)
def test_resnet(blocks: Sequence[int], stride_in_1x1: bool, size: int) -> None:
    """Stem 7 and pooling 11 pixels, jump 4; each 3x3 then adds 2 * its jump.

    TF-Slim has the stride in the last block of a stage: all 3x3 of a stage still run at its input's jump,
    8, 16 and 32 in stages 2 to 4, as they do with the paper's stride in the first 1x1.
    """
    found = fields(bottlenecks(blocks, stride_in_1x1=stride_in_1x1), 1, 1, 224, 224)["y"]
    assert square(found) == (size, 32, 0)


def test_of_several_inputs_each_stream_has_its_own() -> None:
    """And what reads both, the first's."""
    nodes = [conv("x", "a", 5, stride=2), conv("z", "b", 11), conv("b", "c", 3, stride=2), node("Add", "c a", "y")]
    weights = {f"w{size}": KERNELS[f"w{size}"] for size in (3, 5, 11)}
    graph = ir.from_proto(model(nodes, {"x": (1, 1, 29, 29), "z": (1, 1, 37, 37)}, constants=weights)).graph
    found = {str(value.name): field for value, field in receptive_fields(graph, {}).items()}
    assert {name: found[name].image for name in "abcy"} == {"a": "x", "b": "z", "c": "z", "y": "x"}
    assert [found[name].size for name in "abcy"] == [(5, 5), (11, 11), (13, 13), (5, 5)]


def exported_fields(name: str) -> dict[str, ReceptiveField]:
    graph = export(build(name), torch.zeros(2, *ZOO[name].input_shape))
    InferShapes()(graph)
    found = receptive_fields(graph.graph, {"batch": 1})
    convolutions = [n.outputs[0] for n in graph.graph if n.op_type in ("Conv", "MaxPool", "AveragePool", "Concat")]
    maps = [value for value in convolutions if value.shape is not None and len(value.shape) == 4]
    assert set(maps) <= set(found)  # nothing in the net is unknown
    last = found[maps[-1]]
    return {"last": last, "scores": found[graph.graph.outputs[0]]}


def test_lenet_as_exported() -> None:
    """5; pool 2: 6, jump 2; 5: 14; pool 2: 16, jump 4; 5: 32, which is the image, and one place is left."""
    found = exported_fields("lenet5")
    assert square(found["last"]) == (32, 4, Fraction(31, 2))
    assert found["scores"].interval((0, 0)) == ((0, 31), (0, 31))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "start"),
    [
        ("alexnet", 195, 31),
        ("vgg16", 212, Fraction(31, 2)),
        ("resnet50", 427, 0),
        ("resnet50_v1", 483, 0),
        ("mobilenet_v1", 315, 0),
        ("inception_v3", 1311, 37),
    ],
)
def test_zoo(name: str, size: int, start: Fraction | int) -> None:
    """The table's figures, but resnet50 (`test_resnet`).

    PyTorch pads evenly where TensorFlow's SAME pads more at the end: sizes agree, starts need not.
    Of Inception's start: its unpadded layers, 3/2, 3, pool 3/2, 3, pool 3/2, 3/2, 3/2, move it by
    1 + 2 + 2 + 4 + 4 + 8 + 16 = 37, and the padded ones not at all.
    """
    assert square(exported_fields(name)["last"]) == (size, 32, start)
