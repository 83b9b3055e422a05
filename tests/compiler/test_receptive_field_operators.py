"""Receptive fields through each kind of operator, by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import onnx_ir as ir

from cnnc.analysis.geometry import ReceptiveField, receptive_fields
from cnnc_passes.infer_shapes import InferShapes
from tests.compiler.test_receptive_field import KERNELS, conv, fields, ones, square
from tests.contract.graphs import model, node


def test_dilation_and_both_axes() -> None:
    found = fields(
        [node("Conv", "x w", "y", strides=[2, 1], dilations=[3, 1], pads=[1, 0, 2, 0])],
        *(1, 1, 32, 32),
        w=ones(1, 1, 3, 5),
    )["y"]
    assert found == ReceptiveField((7, 5), (7, 5), (Fraction(2), Fraction(1)), (Fraction(2), Fraction(2)), found.laws)


def test_fused_residual_is_a_path() -> None:
    fused = onnx.helper.make_node("FusedConv", ["a", "w1", "", "x"], ["y"], domain="com.microsoft", name="fused")
    proto = model([conv("x", "a", 3, 1, 1)], {"x": (1, 1, 8, 8)}, ["a"], {"w3": KERNELS["w3"]})
    proto.graph.node.append(fused)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(KERNELS["w1"], "w1"))
    proto.graph.output[0].name = "y"
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    graph = ir.from_proto(proto)
    InferShapes()(graph)
    found = receptive_fields(graph.graph, {})
    assert found[graph.graph.outputs[0]].size == (3, 3)


def test_union_takes_both_edges() -> None:
    """An even kernel padded before, one padded behind: from -1 to 1, where each alone sees 2."""
    found = fields(
        [
            node("Conv", "x w2", "a", pads=[1, 1, 0, 0]),
            node("Conv", "x w2", "b", pads=[0, 0, 1, 1]),
            node("Concat", "a b", "y", axis=1),
        ],
        *(1, 1, 8, 8),
    )
    assert square(found["a"]) == (2, 1, Fraction(-1, 2))
    assert square(found["y"]) == (3, 1, 0)


def test_squeeze_and_excitation_sees_all_and_keeps_the_local_path() -> None:
    found = fields(
        [
            conv("x", "a", 3, 1, 1),
            node("GlobalAveragePool", "a", "mean"),
            node("Conv", "mean w1", "gate"),
            node("Mul", "a gate", "scaled"),
            conv("scaled", "y", 3, 1, 1),
        ],
        *(1, 1, 20, 30),
    )
    assert found["mean"].size == (20, 30)
    assert found["mean"].local == (None, None)
    assert found["mean"].start == (Fraction(19, 2), Fraction(29, 2))
    assert found["y"].size == (20, 30)
    assert found["y"].local == (5, 5)
    assert found["y"].interval((3, 4)) == ((1, 5), (2, 6))


def test_normalization_over_the_image_is_a_global_path() -> None:
    norm = [node("InstanceNormalization", "x s s", "y")]
    assert fields(norm, 1, 1, 20, 30, s=ones(1))["y"].size == (20, 30)
    assert fields(norm, 1, 1, 20, 30, s=ones(1))["y"].local == (1, 1)


def test_group_normalization_as_it_is_exported() -> None:
    """A Reshape that mixes rows and columns up, an InstanceNormalization, and the Reshape back: in order again."""
    found = fields(
        [
            node("Conv", "x w", "a", pads=[1] * 4),
            node("Reshape", "a groups", "g"),
            node("InstanceNormalization", "g s s", "n"),
            node("Shape", "a", "shape"),
            node("Reshape", "n shape", "back"),
            node("CastLike", "scale back", "scale_"),
            node("Mul", "back scale_", "y"),
        ],
        *(1, 1, 10, 12),
        w=ones(4, 1, 3, 3),
        groups=np.array([0, 2, -1]),
        s=ones(2),
        scale=ones(4, 1, 1),
    )
    assert "g" not in found and "n" not in found
    assert found["y"].size == (10, 12)
    assert found["y"].local == (3, 3)
    assert found["y"].interval((2, 5)) == ((1, 3), (4, 6))


def test_what_mixes_in_a_flat_view_is_not_put_back() -> None:
    """Reversed or pooled while flat, the elements lie elsewhere: no entry after the way back."""
    back = {"flat": np.array([1, 4, -1]), "back": np.array([1, 4, 6, 6]), "k": ones(4, 4, 3)}
    there, again = node("Reshape", "x flat", "f"), node("Reshape", "m back", "y")
    assert set(fields([there, node("Conv", "f k", "m", pads=[1, 1]), again], 1, 4, 6, 6, **back)) == {"x"}
    ends = {"starts": np.array([-1]), "ends": np.array([-99]), "axes": np.array([2]), "steps": np.array([-1])}
    flipped = [there, node("Slice", "f starts ends axes steps", "m"), again]
    assert set(fields(flipped, 1, 4, 6, 6, flat=back["flat"], back=back["back"], **ends)) == {"x"}


def test_dense_layers_see_the_whole_image() -> None:
    found = fields(
        [conv("x", "a", 3), node("Flatten", "a", "flat"), node("Gemm", "flat w", "y")], 1, 1, 6, 8, w=ones(24, 5)
    )
    assert "flat" not in found  # its elements see different places, in no order
    assert found["y"].size == (6, 8)
    assert found["y"].local == (None, None)


def test_upsampling_divides_the_jump() -> None:
    scales = np.array([1, 1, 2, 2], np.float32)
    nearest = fields([conv("x", "a", 3), node("Resize", "a _ s", "y")], 1, 1, 10, 10, s=scales)["y"]
    assert square(nearest) == (3, Fraction(1, 2), 1)
    assert nearest.interval((0, 1)) == nearest.interval((1, 0)) == ((0, 2), (0, 2))
    assert nearest.interval((2, 3)) == ((1, 3), (1, 3))
    linear = fields([node("Resize", "x _ s", "y", mode="linear")], 1, 1, 10, 10, s=scales)["y"]
    assert linear.interval((2, 3)) == ((0, 1), (1, 2))


def test_places_follow_views_and_transposes() -> None:
    """Channels-last and back, a channel shuffle, a pixel shuffle by hand."""
    shuffle = np.array([1, 2, 2, 6, 6], np.int64)
    found = fields(
        [
            node("Conv", "x w", "a", pads=[1] * 4),
            node("Transpose", "a", "nhwc", perm=[0, 2, 3, 1]),
            node("MatMul", "nhwc m", "mixed"),
            node("Transpose", "mixed", "nchw", perm=[0, 3, 1, 2]),
            node("Reshape", "nchw five", "five_axes"),
            node("Transpose", "five_axes", "swapped", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "swapped four", "shuffled"),
            node("Reshape", "shuffled six", "blocks"),
            node("Transpose", "blocks", "spread", perm=[0, 1, 4, 2, 5, 3]),
            node("Reshape", "spread pixels", "y"),
        ],
        *(1, 1, 6, 6),
        w=ones(4, 1, 3, 3),
        m=ones(4, 4),
        five=shuffle,
        four=np.array([1, 4, 6, 6]),
        six=np.array([1, 1, 2, 2, 6, 6]),
        pixels=np.array([1, 1, 12, 12]),
    )
    assert square(found["shuffled"]) == (3, 1, 0)
    assert square(found["y"]) == (3, Fraction(1, 2), 0)


def test_slices_pads_and_splits_move_the_start() -> None:
    found = fields(
        [
            node("Pad", "x p", "padded"),
            node("Slice", "padded starts ends axes steps", "sliced"),
            node("Split", "sliced", "y z", axis=2, num_outputs=2),
        ],
        *(1, 1, 12, 12),
        p=np.array([0, 0, 2, 0, 0, 0, 2, 0]),
        starts=np.array([1, -1]),
        ends=np.array([15, -14]),
        axes=np.array([2, 3]),
        steps=np.array([2, -1]),
    )
    assert (found["padded"].start, found["padded"].jump) == ((-2, 0), (1, 1))
    assert (found["sliced"].start, found["sliced"].jump) == ((-1, 11), (2, -1))
    assert found["z"].start == (7, 11)


def test_channels_last_input() -> None:
    nodes = [node("Transpose", "x", "nchw", perm=[0, 3, 1, 2]), node("Conv", "nchw w", "y", strides=[2, 1])]
    found = fields(nodes, 1, 8, 9, 1, w=ones(1, 1, 3, 5))
    assert (found["y"].size, found["y"].jump) == ((3, 5), (2, 1))


def test_unknown_operators_end_the_story() -> None:
    """No entry, rather than a wrong one; also for what follows, and for paths whose strides differ."""
    found = fields([node("CumSum", "x one", "a"), node("Relu", "a", "y")], 1, 1, 8, 8, one=np.array(2))
    assert set(found) == {"x"}
    scales = np.array([1, 1, 3, 3], np.float32)
    drift = [
        *(conv("x", "a", 1, 2), node("Resize", "a _ s", "up"), conv("x", "b", 3)),
        node("Slice", "up starts ends axes", "cut"),
        node("Add", "cut b", "y"),
    ]
    bounds = {"starts": np.array([0, 0]), "ends": np.array([6, 6]), "axes": np.array([2, 3])}
    assert set(fields(drift, 1, 1, 8, 8, s=scales, **bounds)) == {"x", "a", "up", "b", "cut"}
