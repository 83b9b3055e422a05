"""Rows and columns that nothing reads: of one layer, of the image through a whole net, and against gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from onnx import helper

from cnnc.analysis.geometry import Unread, unread, unread_input
from tests.contract.graphs import model, node


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def graph(nodes: Sequence[onnx.NodeProto], *shape: int, **constants: np.ndarray) -> ir.Graph:
    """From `x` to `y`."""
    return ir.from_proto(model(nodes, {"x": shape}, constants=constants)).graph


def of_layer(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, op: str = "Conv") -> Unread:
    """Of a one-dimensional layer."""
    options = {"strides": [stride], "pads": [padding] * 2, "dilations": [dilation]}
    nodes = [node("Conv", "x w", "y", **options)]
    if op != "Conv":
        nodes = [node(op, "x", "y", kernel_shape=[kernel], **options)]
    weights = {"w": ones(1, 1, kernel)} if op == "Conv" else {}
    (layer,) = graph(nodes, 1, 1, size, **weights)
    (found,) = unread(layer, {})
    return found


def of_image(nodes: Sequence[onnx.NodeProto], *shape: int, **constants: np.ndarray) -> list[str]:
    """One text per spatial axis of `x`."""
    (found,) = unread_input(graph(nodes, *shape, **constants), {}).values()
    return [axis.text for axis in found]


@pytest.mark.parametrize(
    ("found", "count", "text"),
    [
        (of_layer(56, 1, stride=2), 28, "all but every 2nd of 56 (28 of 56)"),
        (of_layer(57, 1, stride=2), 28, "all but every 2nd of 57 (28 of 57)"),
        (of_layer(224, 3, stride=2), 1, "last 1 of 224"),
        (of_layer(224, 3, stride=2, padding=1), 0, "none of 224"),
        (of_layer(225, 3, stride=2), 0, "none of 225"),
        (of_layer(10, 2, stride=4), 4, "4 of 10, the first at 2"),
        (of_layer(3, 3, dilation=3, padding=3), 0, "none of 3"),
        (of_layer(224, 3, stride=2, op="MaxPool"), 1, "last 1 of 224"),
        (of_layer(23, 1, stride=11), 20, "all but every 11th of 23 (20 of 23)"),
    ],
)
def test_one_layer(found: Unread, count: int, text: str) -> None:
    assert (found.count, found.text) == (count, text)


def test_dilation_leaves_the_center_out() -> None:
    """One output over 5: taps at 0, 2, 4."""
    assert of_layer(5, 3, dilation=2).text == "all but every 2nd of 5 (2 of 5)"


def test_ceil_mode_reads_the_end() -> None:
    pool = node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    (layer,) = graph([pool], 1, 1, 8, 9)
    assert [axis.count for axis in unread(layer, {})] == [0, 0]


def test_a_layer_that_is_no_window_says_nothing() -> None:
    (layer,) = graph([node("Relu", "x", "y")], 1, 1, 8, 8)
    assert unread(layer, {}) == ()


def test_open_sizes_are_given() -> None:
    proto = model(
        [node("Conv", "x w", "y", strides=[2, 2])], {"x": ("n", 1, "h", 9)}, constants={"w": ones(1, 1, 3, 3)}
    )
    found = ir.from_proto(proto).graph
    assert [axis.text for axis in unread(found.node(0), {"h": 8})] == ["last 1 of 8", "none of 9"]
    assert [axis.text for axis in unread_input(found, {"h": 8})[found.inputs[0]]] == ["last 1 of 8", "none of 9"]
    assert unread_input(found, {}) == {}


def test_a_second_path_reads_what_the_first_skips() -> None:
    """ResNet's shortcut skips three pixels of four; the 3x3 convolution beside it does not."""
    shortcut = node("Conv", "x one", "a", strides=[2, 2])
    weights = {"one": ones(1, 1, 1, 1), "w": ones(1, 1, 3, 3)}
    both = [shortcut, node("Conv", "x w", "b", strides=[2, 2], pads=[1] * 4), node("Add", "a b", "y")]
    assert of_image(both, 1, 1, 8, 8, **weights) == ["none of 8"] * 2
    alone = [shortcut, node("Relu", "a", "y")]
    assert of_image(alone, 1, 1, 8, 8, one=weights["one"]) == ["all but every 2nd of 8 (4 of 8)"] * 2


def test_losses_add_up_through_layers() -> None:
    """16 -> 7 drops 1 row; 7 -> 3 none; a stride of 2 in a 1x1 then drops the middle one of 3, rows 4 to 10 see it.

    Rows 0 to 6 and 8 to 14 are read; row 7 (of the field of the dropped one alone) and row 15 are not.
    """
    chain = [
        node("Conv", "x w", "a", strides=[2]),
        node("Conv", "a w", "b", strides=[2]),
        node("Conv", "b one", "y", strides=[2]),
    ]
    assert of_image(chain, 1, 1, 16, w=ones(1, 1, 3), one=ones(1, 1, 1)) == ["2 of 16, the first at 7"]


def test_slices_concat_split_and_pad() -> None:
    cut = {"starts": np.array([2]), "ends": np.array([9]), "axes": np.array([2])}
    assert of_image([node("Slice", "x starts ends axes", "y")], 1, 1, 12, 4, **cut) == [
        "first 2 and last 3 of 12",
        "none of 4",
    ]
    part = [node("Split", "x", "a b c", axis=2, num_outputs=3), node("Concat", "c a", "y", axis=2)]
    assert of_image(part, 1, 1, 9, 4) == ["3 of 9, the first at 3", "none of 4"]
    crop = {"p": np.array([0, 0, -1, 1, 0, 0, -2, 1])}
    assert of_image([node("Pad", "x p", "y")], 1, 1, 8, 4, **crop) == ["first 1 and last 2 of 8", "none of 4"]


def test_reflected_rows_are_read() -> None:
    """Only the padding is kept, and it mirrors rows 1 and 2."""
    nodes = [node("Pad", "x p", "a", mode="reflect"), node("Slice", "a starts ends axes", "y")]
    constants = {"p": np.array([0, 0, 2, 0, 0, 0]), "starts": np.array([0]), "ends": np.array([2])}
    assert of_image(nodes, 1, 1, 6, **constants, axes=np.array([2])) == ["first 1 and last 3 of 6"]


def test_nearest_downsampling_skips() -> None:
    scales = np.array([1, 1, 0.5, 1], np.float32)
    nodes = [node("Resize", "x _ s", "y", mode="nearest", coordinate_transformation_mode="asymmetric")]
    assert of_image(nodes, 1, 1, 8, 4, s=scales) == ["all but every 2nd of 8 (4 of 8)", "none of 4"]


def test_global_pooling_and_dense_layers_read_all() -> None:
    pooled = [node("Conv", "x w", "a", strides=[2, 2]), node("GlobalAveragePool", "a", "y")]
    assert of_image(pooled, 1, 1, 8, 8, w=ones(1, 1, 3, 3)) == ["last 1 of 8"] * 2
    dense = [node("Conv", "x w", "a", strides=[2, 2]), node("Flatten", "a", "f"), node("Gemm", "f d", "y")]
    assert of_image(dense, 1, 1, 8, 8, w=ones(1, 1, 3, 3), d=ones(9, 2)) == ["last 1 of 8"] * 2


def test_what_is_not_known_counts_as_read() -> None:
    nodes = [node("CumSum", "x axis", "a"), node("Conv", "a w", "y", strides=[4])]
    assert of_image(nodes, 1, 1, 9, axis=np.array(2), w=ones(1, 1, 1)) == ["none of 9"]


def test_a_branch_inside_of_an_if_counts_as_read() -> None:
    """The subgraph reads `x`, which is not among the node's inputs."""
    branch = helper.make_graph(
        [node("Identity", "x", "z")], "branch", [], [helper.make_tensor_value_info("z", 1, [1, 1, 8])]
    )
    condition = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch, name="if")
    proto = model([node("Relu", "x", "y")], {"x": (1, 1, 8)}, constants={"c": np.array(True)})
    proto.graph.node[0].CopyFrom(condition)
    found = ir.from_proto(proto).graph
    assert [axis.text for axis in unread_input(found, {})[found.inputs[0]]] == ["none of 8"]


def test_an_input_nobody_reads() -> None:
    proto = model([node("Relu", "z", "y")], {"z": (1, 1, 4), "x": (1, 1, 8), "v": (3,)})
    found = ir.from_proto(proto).graph
    texts = {str(value.name): [axis.text for axis in axes] for value, axes in unread_input(found, {}).items()}
    assert texts == {"z": ["none of 4"], "x": ["all of 8"]}


@pytest.mark.parametrize("size", range(20, 34))
def test_counts_are_the_zeros_of_the_gradient(size: int) -> None:
    """Two paths of strides 4, dilation, pooling, then one row more cut off; all weights are positive."""
    nodes = [
        node("Conv", "x w3", "a", strides=[2], dilations=[2]),
        node("AveragePool", "a", "b", kernel_shape=[2], strides=[2]),
        node("Conv", "x w1", "c", strides=[4]),
        node("Slice", "b from to axis", "b3"),
        node("Slice", "c from to axis", "c3"),
        node("Add", "b3 c3", "y"),
    ]
    constants = {"w3": ones(1, 1, 3), "w1": ones(1, 1, 1)}
    constants |= {"from": np.array([1]), "to": np.array([4]), "axis": np.array([2])}
    found = graph(nodes, 1, 1, size, **constants)
    x = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
    w3, w1 = torch.ones(1, 1, 3, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)
    b = F.avg_pool1d(F.conv1d(x, w3, stride=2, dilation=2), 2, 2)[..., 1:4]
    y = b + F.conv1d(x, w1, stride=4)[..., 1:4]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    (axis,) = unread_input(found, {})[found.inputs[0]]
    assert axis.count == int((gradient == 0).sum())
