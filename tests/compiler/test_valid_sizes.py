"""Which image sizes a graph takes: by hand, and against what the engine accepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from cnnc.analysis.geometry import ValidSizes, valid_sizes
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc_passes.infer_shapes import InferShapes
from cnnc_runtime.errors import InvalidInputError
from tests.contract.graphs import model, node, run_on_engine


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def proto(nodes: Sequence[onnx.NodeProto], *shape: int | str, **constants: np.ndarray) -> onnx.ModelProto:
    """From `x` to `y`."""
    return model(nodes, {"x": shape}, constants=constants)


def found(nodes: Sequence[onnx.NodeProto], *shape: int | str, **constants: np.ndarray) -> tuple[ValidSizes, ...]:
    return valid_sizes(ir.from_proto(proto(nodes, *shape, **constants)))


def texts(nodes: Sequence[onnx.NodeProto], *shape: int | str, **constants: np.ndarray) -> list[str]:
    return [axis.text for axis in found(nodes, *shape, **constants)]


def encoder_decoder(levels: int) -> list[onnx.NodeProto]:
    """A U-Net of one channel: poolings, upsamplings, and the concatenations between."""
    nodes, last = [], "x"
    for level in range(levels):
        nodes.append(node("MaxPool", last, f"down{level}", kernel_shape=[2, 2], strides=[2, 2]))
        last = f"down{level}"
    for level in reversed(range(levels)):
        skip = f"down{level - 1}" if level else "x"
        nodes.append(node("ConvTranspose", f"{last} up{level}", f"up{level}out", strides=[2, 2]))
        nodes.append(node("Concat", f"up{level}out {skip}", f"cat{level}", axis=1))
        last = f"cat{level}"
    return [*nodes, node("Relu", last, "y")]


def ups(levels: int) -> dict[str, np.ndarray]:
    return {f"up{level}": ones(1 if level == levels - 1 else 2, 1, 2, 2) for level in range(levels)}


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_concatenations_need_multiples(levels: int) -> None:
    for axis in found(encoder_decoder(levels), "n", 1, 64, 64, **ups(levels)):
        assert axis.text == f"multiples of {2**levels} from {2**levels}"
        assert (axis.minimum, axis.multiple, axis.tested) == (2**levels, 2**levels, 256)
        assert axis.sizes == tuple(range(2**levels, 257, 2**levels))


def test_valid_convolutions_have_a_smallest_size() -> None:
    """5 and 5 with a pooling of 2 between: (size - 4) // 2 must be at least 5 rows, and 3 columns."""
    nodes = [
        node("Conv", "x w5", "a"),
        node("AveragePool", "a", "b", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "b w53", "y"),
    ]
    rows, columns = found(nodes, 1, 1, 32, 32, w5=ones(1, 1, 5, 5), w53=ones(1, 1, 5, 3))
    assert (rows.text, columns.text) == ("any from 14", "any from 10")
    assert rows.below == "Conv 'Conv_y': a window of 5 does not fit into 4 + padding 0 + 0"


def test_padded_convolutions_take_any_size() -> None:
    assert texts([node("Conv", "x w", "y", pads=[1, 1])], 1, 1, 32, w=ones(1, 1, 3)) == ["any"]


def test_flatten_and_gemm_pin_the_size() -> None:
    dense = [node("Flatten", "x", "f"), node("Gemm", "f w", "y")]
    assert texts(dense, "n", 1, 6, 4, w=ones(24, 2)) == ["only 6", "only 4"]
    strided = [node("Conv", "x c", "a", strides=[4, 4]), node("Flatten", "a", "f"), node("Gemm", "f w", "y")]
    assert texts(strided, "n", 1, 28, 28, c=ones(1, 1, 4, 4), w=ones(49, 2)) == ["28 to 31"] * 2


def test_a_reshape_that_would_change_the_batch_is_refused() -> None:
    """Twice the rows fit into (-1, 24), as a batch of 2."""
    nodes = [node("Reshape", "x target", "f"), node("Gemm", "f w", "y")]
    constants = {"target": np.array([-1, 24]), "w": ones(24, 2)}
    assert texts(nodes, "n", 1, 6, 4, **constants) == ["only 6", "only 4"]


def test_a_reshape_to_computed_sizes_is_free() -> None:
    """Flatten by Shape, Gather and Concat, and global pooling before the dense layer."""
    nodes = [
        node("GlobalAveragePool", "x", "mean"),
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "batch"),
        node("Concat", "batch rest", "target", axis=0),
        node("Reshape", "mean target", "f"),
        node("Gemm", "f w", "y"),
    ]
    constants = {"zero": np.array([0]), "rest": np.array([-1]), "w": ones(3, 2)}
    assert texts(nodes, "n", 3, 32, 32, **constants) == ["any", "any"]


def test_upsampling_by_a_stride_needs_a_remainder() -> None:
    """Every third position, and back: 3n - 2. From 2 and 3 comes 1, which would broadcast: no branch of that size."""
    pool = node("AveragePool", "x", "a", kernel_shape=[1], strides=[3])
    up = [pool, node("ConvTranspose", "a w", "b", strides=[3]), node("Add", "b x", "y")]
    (axis,) = found(up, 1, 1, 31, w=ones(1, 1, 1))
    assert (axis.text, axis.minimum, axis.multiple) == ("1 and every 3 further", 1, 3)


def test_halves_that_meet_need_an_even_size() -> None:
    halves = [node("Split", "x", "a b", axis=2, num_outputs=2), node("Concat", "a b", "y", axis=1)]
    assert texts(halves, 1, 1, 32) == ["multiples of 2 from 2"]


def test_sizes_without_a_law_are_listed() -> None:
    """Halves and thirds of the size, each rounded up, that meet: equal at 2 and 1, in no series."""
    nodes = [
        node("Conv", "x w", "a", strides=[2]),
        node("Conv", "x w", "b", strides=[3]),
        node("Concat", "a b", "y", axis=1),
    ]
    assert texts(nodes, 1, 1, 4, w=ones(1, 1, 1)) == ["3 of the sizes up to 256: 1, 2, 4"]


def test_open_sizes_are_chosen_or_given() -> None:
    dense = [node("Flatten", "x", "f"), node("Gemm", "f w", "y")]
    graph = ir.from_proto(proto(dense, "n", 1, "h", "w", w=ones(40, 2)))
    assert [axis.text for axis in valid_sizes(graph, {"h": 8, "w": 5})] == ["only 8", "only 5"]
    assert [axis.text for axis in valid_sizes(graph)] == ["none of 10 usual sizes"] * 2
    assert texts(encoder_decoder(2), "n", 1, "h", "w", **ups(2)) == ["multiples of 4 from 4"] * 2


def test_inputs_of_one_size_vary_together() -> None:
    added = model([node("Add", "x z", "y")], {"x": (1, 3, 8, 8), "z": (1, 3, 8, 8)})
    assert [axis.text for axis in valid_sizes(ir.from_proto(added))] == ["any", "any"]
    mask = model([node("Add", "x z", "y")], {"x": (1, 3, 8, 8), "z": (1, 1, 8, 1)})
    assert [axis.text for axis in valid_sizes(ir.from_proto(mask))] == ["only 8", "any"]


def test_what_is_not_known_is_named() -> None:
    """A NonZero's length depends on the data; no contradiction after it can be seen."""
    nodes = [node("NonZero", "x", "a"), node("Cast", "a", "y", to=1)]
    (axis,) = found(nodes, 1, 1, 8)
    assert axis.unknown == "NonZero 'NonZero_a'"


def test_the_model_stays_and_must_be_valid() -> None:
    graph = ir.from_proto(proto(encoder_decoder(1), "n", 1, 64, 64, **ups(1)))
    before = [output.shape for entry in graph.graph for output in entry.outputs]
    valid_sizes(graph)
    assert [output.shape for entry in graph.graph for output in entry.outputs] == before
    graph.graph.inputs[0].shape = ir.Shape([1, 1, 63, 64])
    with pytest.raises(InvalidInputError, match="sizes 62 and 63 on one axis"):
        valid_sizes(graph)


def test_no_image_no_answer() -> None:
    assert found([node("Relu", "x", "y")], 4, 5) == ()


@pytest.mark.parametrize(("last_kernel", "text"), [(1, "any"), (700, "1000")])
def test_very_deep_nets_are_cut_short(last_kernel: int, text: str) -> None:
    """600 convolutions: fewer sizes are tried, and that is said; the size that the graph declares is always known."""
    nodes, last = [], "x"
    for block in range(300):
        nodes += [
            node("Conv", f"{last} w", f"a{block}", pads=[1, 1]),
            node("Relu", f"a{block}", f"r{block}"),
            node("Conv", f"r{block} w", f"b{block}", pads=[1, 1]),
            node("Add", f"b{block} {last}", f"s{block}"),
        ]
        last = f"s{block}"
    nodes.append(node("Conv", f"{last} v", "y"))
    (axis,) = found(nodes, 1, 1, 1000, w=ones(1, 1, 3), v=ones(1, 1, last_kernel))
    assert axis.text == f"{text} (tried: up to {axis.tested}, and 1000)"
    assert 100 <= axis.tested < 400
    assert axis.sizes[-1] == 1000


@pytest.mark.parametrize("size", range(1, 41))
def test_the_engine_agrees(size: int) -> None:
    """Strides, dilation and a skip that both branches must reach with the same size."""
    nodes = [
        node("Conv", "x w3", "a", strides=[2], dilations=[2], pads=[1, 0]),
        node("MaxPool", "a", "b", kernel_shape=[3], strides=[2], pads=[1, 1], ceil_mode=1),
        node("Conv", "x w1", "c", strides=[4]),
        node("Concat", "b c", "y", axis=1),
    ]
    weights = {"w3": ones(1, 1, 3), "w1": ones(1, 1, 1)}
    graph = proto(nodes, 1, 1, 30, **weights)
    (axis,) = valid_sizes(ir.from_proto(graph))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[2].dim_param = "size"
    del graph.graph.value_info[:]
    try:
        (y,) = run_on_engine(graph, {"x": np.ones((1, 1, size), np.float32)})
        accepted = y.size > 0
    except Exception:
        accepted = False
    assert accepted == (size in axis.sizes)


def test_a_scale_by_element_pins_the_size() -> None:
    """LayerNorm over (C, H, W) has a scale of that shape; over C or with a scale of one value it takes any size."""
    norm = node("LayerNormalization", "x s b", "y", axis=1)
    rows, columns = found([norm], "n", 3, 6, 4, s=ones(3, 6, 4), b=ones(3, 6, 4))
    assert (rows.text, columns.text) == ("only 6", "only 4")
    assert str(rows.below).endswith(": a scale or shift of [3, 6, 4] for elements of [1, 3, 5, 4]")
    assert texts([norm], "n", 3, 6, 4, s=ones(1), b=ones(3, 1, 1)) == ["any", "any"]
    strided = [node("Conv", "x w", "a", strides=[2, 2]), node("LayerNormalization", "a s", "y", axis=-1)]
    assert texts(strided, "n", 1, 9, 9, w=ones(1, 1, 1, 1), s=ones(5)) == ["any", "9 to 10"]


def test_local_response_normalization_pins_the_height() -> None:
    """PyTorch views its maps as (N, 1, C, H, -1): the exporter writes H down as a number, and the engine agrees.

    Maps of 5x5 come from 11 or 12 pixels; of the width, which is free, only the dense layer behind a pooling to 2x2
    asks something: 4 or 5 columns, from 9 to 12 pixels.
    """
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.LocalResponseNorm(3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )
    assert all(module(torch.zeros(1, 1, height, 11)).shape == (1, 2) for height in (9, 12)), "PyTorch's own is free"
    graph = export(module.eval(), torch.zeros(2, 1, 11, 11))
    InferShapes()(graph)
    rows, columns = valid_sizes(graph)
    assert (rows.text, columns.text) == ("11 to 12", "9 to 12")
    exported = ir.to_proto(graph)
    del exported.graph.value_info[:]
    for axis, name in ((2, "h"), (3, "w")):
        exported.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    for axis, found in ((2, rows), (3, columns)):
        accepted = [size for size in range(7, 16) if _takes(exported, 1, 1, *_with(size, axis))]
        assert tuple(accepted) == found.sizes


def _with(size: int, axis: int) -> tuple[int, int]:
    return (size, 11) if axis == 2 else (11, size)


def _takes(graph: onnx.ModelProto, *shape: int) -> bool:
    try:
        run_on_engine(graph, {graph.graph.input[0].name: np.ones(shape, np.float32)})
    except Exception:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unet", "multiples of 16 from 16"),
        ("resnet50", "any"),
        ("alexnet", "223 to 254"),  # (size + 4 - 11) // 4 + 1 = 55 to 62, whose three poolings all end in 6
        ("inception_v3", "any from 75"),  # as Keras documents it for the network without its head
    ],
)
def test_zoo(name: str, text: str) -> None:
    graph = export(build(name), torch.zeros(2, *ZOO[name].input_shape))
    InferShapes()(graph)
    assert [axis.text for axis in valid_sizes(graph)] == [text] * 2
