"""What forces a layout conversion: each cause that is named, held against the engine, with and without it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from cnnc.engine_graph.barriers import Barrier, barriers_from, describe_barriers
from cnnc.engine_graph.census import Census, census
from tests.contract.graphs import model, node, weights

IN, OUT = "input of the network", "output of the network"
SIZES = {
    **{
        "w": (32, 32, 3, 3),
        "v": (32, 32, 3, 3),
        "point": (32, 32, 1, 1),
        "by16": (32, 16, 3, 3),
        "by64": (32, 64, 3, 3),
    },
    **{"w20": (20, 32, 3, 3), "by20": (32, 20, 3, 3), "by52": (32, 52, 3, 3), "w30": (30, 32, 3, 3)},
    **{
        "w4": (4, 32, 3, 3),
        "by4": (32, 4, 3, 3),
        "by30": (32, 30, 3, 3),
        "grouped": (32, 4, 3, 3),
        "depthwise": (32, 1, 3, 3),
    },
    **{"full": (1, 32, 16, 16), "g": (32,), "head": (32, 5), "classes": (8192, 5)},
}
CONSTANTS = {name: weights(*sizes) for name, sizes in SIZES.items()} | {
    "spread": np.ones(32, np.float32),
    "halves": np.array([16, 16]),
    "axes": np.array([2, 3]),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "zero": np.array([0]),
    "one": np.array([1]),
    "sixteen": np.array([16]),
}


def conv(inputs: str, output: str, group: int = 1) -> onnx.NodeProto:
    return node("Conv", inputs, output, pads=[1, 1, 1, 1], group=group)


def pool(name: str, output: str) -> onnx.NodeProto:
    return node("MaxPool", name, output, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def counted(nodes: Sequence[onnx.NodeProto], folder: Path, outputs: Sequence[str] = ("y",)) -> Census:
    read = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in CONSTANTS.items() if name in read}
    onnx.save(model(nodes, {"x": ["n", 32, 16, 16]}, outputs, constants), folder / "net.onnx")
    return census(folder / "net.onnx", "cpu", folder)


def between(*nodes: onnx.NodeProto, last: str = "m v") -> list[onnx.NodeProto]:
    """A convolution that makes c, `nodes` that make m of it, a convolution that reads m."""
    return [conv("x w", "c"), *nodes, conv(last, "y")]


def resized(mode: str, where: str, rounding: str = "floor") -> list[onnx.NodeProto]:
    attributes = {"mode": mode, "coordinate_transformation_mode": where, "nearest_mode": rounding}
    return between(node("Resize", "c _ twice", "m", **attributes))


GATE = [node("GlobalAveragePool", "c", "p"), node("Conv", "p point", "q"), node("Sigmoid", "q", "s")]
TWO = [conv("x v", "d")]
SCALED = [  # a kernel that depends on the image
    node("ReduceMean", "x axes", "r"),
    node("Slice", "r zero one zero", "first"),
    node("Mul", "point first", "t"),
]
# What breaks a condition, the cause that is named, how often, and what satisfies the condition.
CAUSES = {
    "factor": (
        between(*GATE, node("Mul", "c s", "m")),
        "Mul (a factor for each channel)",
        3,
        between(*TWO, node("Mul", "c d", "m")),
    ),
    "product-with-constant": (
        between(node("Mul", "c full", "m")),
        "Mul (with a constant)",
        2,
        between(pool("c", "p"), node("BatchNormalization", "p g g g spread", "m")),
    ),
    "sum-with-constant": (
        between(node("Add", "c full", "m")),
        "Add (with a constant)",
        2,
        between(*TWO, pool("c", "p"), node("Add", "p d", "m")),
    ),
    "split": (
        between(node("Split", "c halves", "a b", axis=1), node("Concat", "b a", "m", axis=1)),
        "Split (has no blocked form)",
        2,
        between(*TWO, node("Concat", "c d", "m", axis=1), last="m by64"),
    ),
    "through-another": (
        between(node("Split", "c halves", "a b", axis=1), node("Relu", "b", "m"), last="m by16"),
        "Split (has no blocked form)",
        2,
        between(pool("c", "p"), node("Relu", "p", "m")),
    ),
    "mean": (
        between(node("ReduceMean", "c axes", "p"), node("Relu", "p", "m")),
        "ReduceMean (has no blocked form)",
        2,
        between(node("GlobalAveragePool", "c", "p"), node("Relu", "p", "m")),
    ),
    "activation": (
        between(node("Softplus", "c", "m")),
        "Softplus (has no blocked form)",
        2,
        between(node("Tanh", "c", "m")),
    ),
    "concat-of-parts": (
        between(conv("x w20", "d"), node("Concat", "c d", "m", axis=1), last="m by52"),
        "Concat (channels are no multiple of the block of 16)",
        3,
        between(*TWO, node("Concat", "c d", "m", axis=1), last="m by64"),
    ),
    "concat-of-rows": (
        between(*TWO, node("Concat", "c d", "m", axis=2)),
        "Concat (along axis 2)",
        3,
        between(*TWO, node("Concat", "c d", "m", axis=1), last="m by64"),
    ),
    "concat-of-plain": (
        between(*TWO, node("Softplus", "d", "e"), node("Concat", "c e", "m", axis=1), last="m by64"),
        "Softplus (has no blocked form)",
        3,
        between(*TWO, node("Sigmoid", "d", "e"), node("Concat", "c e", "m", axis=1), last="m by64"),
    ),
    "pool-channels": (
        [conv("x w20", "c"), pool("c", "m"), conv("m by20", "y")],
        "MaxPool (channels are no multiple of the block of 16)",
        2,
        between(pool("c", "m")),
    ),
    "conv-channels": (
        [conv("x w30", "c"), conv("c by30", "d"), conv("d v", "y")],
        "Conv (input channels are no multiple of 4)",
        2,
        [conv("x w20", "c"), conv("c by20", "d"), conv("d v", "y")],
    ),
    "conv-groups": (
        between(conv("c grouped", "m", group=8)),
        "Conv (channels of a group are no multiple of the block of 16)",
        2,
        between(conv("c depthwise", "m", group=32)),
    ),
    "few-channels": (
        [conv("x w4", "c"), conv("c by4", "d"), conv("d v", "y")],
        "Conv (reads fewer channels than a block of 16, in plain order)",
        1,
        [conv("x w20", "c"), conv("c by20", "d"), conv("d v", "y")],
    ),
    "conv-weight": (
        between(*SCALED, node("Conv", "c t", "m")),
        "Conv (the weight is not constant)",
        2,
        between(node("Conv", "c point", "m")),
    ),
    "nearest": (
        resized("nearest", "half_pixel", "round_prefer_floor"),
        "Resize (to the nearest by half_pixel, round_prefer_floor: only asymmetric, floor has a blocked form)",
        2,
        resized("nearest", "asymmetric"),
    ),
    "cubic": (
        resized("cubic", "half_pixel"),
        "Resize (cubic by half_pixel has no blocked form)",
        2,
        resized("linear", "half_pixel"),
    ),
    "view": (
        [conv("x w", "c"), node("Flatten", "c", "f"), node("Gemm", "f classes", "y")],
        "Flatten (takes the values in plain order)",
        1,
        between(pool("c", "m")),
    ),
}


def causes(found: Census) -> dict[str, int]:
    return {one.cause: one.conversions for one in found.barriers if one.cause not in (IN, OUT)}


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_named_and_goes_with_its_condition(name: str, tmp_path: Path) -> None:
    nodes, cause, conversions, satisfied = CAUSES[name]
    found = counted(nodes, tmp_path)
    block = 8 if "block of 8" in str(found.barriers) else 16  # of a machine without AVX-512
    assert causes(found) == {cause.replace("block of 16", f"block of {block}"): conversions}
    assert sum(one.conversions for one in found.barriers) == found.layout_conversions
    assert causes(counted(satisfied, tmp_path)) == {}


def test_ends_of_the_network(tmp_path: Path) -> None:
    found = counted(between(pool("c", "m")), tmp_path, outputs=("y", "c"))
    assert found.barriers == (Barrier(OUT, ("c", "y"), 2), Barrier(IN, ("x",), 1))


def test_one_value_a_channel_costs_nothing(tmp_path: Path) -> None:
    nodes = [
        conv("x w", "c"),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f head", "y"),
    ]
    found = counted(nodes, tmp_path)
    flatten = Barrier("Flatten (takes the values in plain order)", ("Flatten_f",), 1, 1)
    assert found.barriers == (flatten, Barrier(IN, ("x",), 1))
    assert describe_barriers(found.barriers, found.barriers) == [
        "layout conversions left in the engine's graph: 2 (the original has 2)",
        "  1 by Flatten (takes the values in plain order); 1 of one value a channel: Flatten_f",
        "  1 by input of the network: x",
    ]


def test_channels_last_is_a_conversion_too(tmp_path: Path) -> None:
    there, back = ([0, 2, 3, 1], [0, 3, 1, 2])
    norm = node("LayerNormalization", "t g g", "u", axis=-1)
    found = counted(
        between(node("Transpose", "c", "t", perm=there), norm, node("Transpose", "u", "m", perm=back)), tmp_path
    )
    expected = {"LayerNormalization (takes channels last)": 1, "LayerNormalization (gives channels last)": 1}
    assert causes(found) == expected
    assert [one.layers for one in found.barriers if one.cause in expected] == [("LayerNormalization_u",)] * 2


def test_two_causes_of_one_conversion(tmp_path: Path) -> None:
    nodes = between(
        node("Softplus", "c", "a"), node("Softsign", "c", "b"), node("Concat", "a b", "m", axis=1), last="m by64"
    )
    both = "Softplus (has no blocked form) and Softsign (has no blocked form)"
    assert causes(counted(nodes, tmp_path)) == {both: 2}


def test_long_lists_are_cut() -> None:
    lines = describe_barriers([Barrier("Split (has no blocked form)", ("a", "b", "c", "d", "e"), 10)])
    assert lines == [
        "layout conversions left in the engine's graph: 10",
        "  10 by Split (has no blocked form): a, b, c and 2 more",
    ]


def test_back_from_a_report(tmp_path: Path) -> None:
    found = counted(CAUSES["split"][0], tmp_path)
    plain = json.loads(json.dumps({"fusion": {"after": dataclasses.asdict(found)}}))
    assert barriers_from(plain) == found.barriers
    plain["fusion"]["after"]["barriers"] += [
        3,
        {"cause": 1},
        {"cause": "a", "layers": "b", "conversions": 1, "pooled": 0},
    ]
    assert barriers_from(plain) == found.barriers
    assert barriers_from({}) is barriers_from({"fusion": None}) is barriers_from({"fusion": {"after": {}}}) is None
