"""What a clean-up removes: slices, squeezes, roundings, constants, whole graphs; and the batch in a reshape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch import nn

import cnnc_runtime
from tests.cases.harness import LEVELS, TARGETS, check_module, check_proto, nodes_of, values
from tests.cases.normalization import double, normalize, statistics
from tests.contract.graphs import model, node

LAST, FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min

# --- OnnxSlim #277: two slices of one axis, steps back, and ends past the last element


def cut(i: int, start: int, end: int, axis: int, step: int) -> dict[str, np.ndarray]:
    names = zip("sead", (start, end, axis, step), strict=True)
    return {f"{name}{i}": np.array([number], np.int64) for name, number in names}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, LAST, 2, 1), (1, LAST, 2, 1)),
        ((0, LAST, 2, 1), (2, 5, 2, 1)),
        ((1, -1, 2, 1), (1, LAST, -1, 1)),
        ((-1, FIRST, 2, -1), (-1, FIRST, 2, -1)),  # turned round twice
        ((-1, FIRST, 2, -1), (1, LAST, 2, 1)),
        ((-2, 0, 2, -2), (0, LAST, 2, 1)),
        ((0, LAST, 2, 2), (0, LAST, 2, 2)),
        ((2, LAST, 2, 1), (-100, 3, 2, 1)),
        ((0, LAST, 0, 1), (1, LAST, 3, 1)),
        ((0, 6, 2, 1), (0, 7, 3, 1)),  # all of both
    ],
)
def test_slice_of_a_slice(first: tuple[int, int, int, int], second: tuple[int, int, int, int], tmp_path: Path) -> None:
    constants = cut(1, *first) | cut(2, *second)
    nodes = [node("Slice", "x s1 e1 a1 d1", "one"), node("Slice", "one s2 e2 a2 d2", "y")]
    proto = model(nodes, {"x": ("n", 2, 6, 7)}, constants=constants)

    def truth(x: torch.Tensor) -> torch.Tensor:
        array = x.numpy()
        for start, end, axis, step in (first, second):
            stop = None if end in (LAST, FIRST) else end
            index: list[Any] = [slice(None)] * 4
            index[axis] = slice(start, stop, step)
            array = array[tuple(index)]
        return torch.from_numpy(array.copy())

    check_proto(proto, truth, folder=tmp_path)


# --- OnnxSlim #321: nothing left but the output; nodes without names, as some exporters write them


def unnamed(proto: onnx.ModelProto) -> onnx.ModelProto:
    for one in proto.graph.node:
        one.name = ""
    return proto


@pytest.mark.parametrize("target", TARGETS)
def test_graph_of_nodes_that_change_nothing_keeps_its_input(target: str, tmp_path: Path) -> None:
    nodes = [node("Identity", "x", "a"), node("Dropout", "a", "b"), node("Identity", "b", "y")]
    artifact = check_proto(unnamed(model(nodes, {"x": ("n", 3, 4)})), lambda x: x, folder=tmp_path, target=target)
    assert len(artifact.graph.node) == 1
    assert [value.name for value in artifact.graph.input] == ["x"]


@pytest.mark.parametrize("target", TARGETS)
def test_nodes_without_names_are_kept_apart(target: str, tmp_path: Path) -> None:
    constants = {"w1": values(4, 3, 3, 3, seed=5), "w2": values(4, 4, 1, 1), **statistics(4)}
    nodes = [
        node("Conv", "x w1", "c1"),
        node("BatchNormalization", "c1 g b m v", "n1"),
        node("LeakyRelu", "n1", "l1", alpha=0.1),
        node("Identity", "l1", "i"),
        node("Conv", "i w2", "c2"),
        node("BatchNormalization", "c2 g b m v", "n2"),
        node("Flatten", "n2", "y"),
    ]
    proto = unnamed(model(nodes, {"x": ("n", 3, 6, 6)}, constants=constants))

    def truth(x: torch.Tensor) -> torch.Tensor:
        one = normalize(constants)(F.conv2d(x, double(constants["w1"])))
        two = normalize(constants)(F.conv2d(F.leaky_relu(one, float(np.float32(0.1))), double(constants["w2"])))
        return two.flatten(1)

    artifact = check_proto(proto, truth, folder=tmp_path, target=target)
    assert len(nodes_of(artifact, "Conv")) == 2
    assert [value.name for value in artifact.graph.input] == ["x"]


def test_constant_branch_beside_the_input_leaves_the_input(tmp_path: Path) -> None:
    """One output depends on constants alone: it is folded, and nothing else goes with it."""
    constants = {"k": values(3, 4), "j": values(3, 4, seed=1)}
    nodes = [node("Add", "k j", "s"), node("Relu", "s", "y"), node("Abs", "x", "z")]
    proto = model(nodes, {"x": (3, 4)}, ("y", "z"), constants)

    def truth(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(double(constants["k"]) + double(constants["j"])), x.abs()

    artifact = check_proto(proto, truth, folder=tmp_path)
    assert [value.name for value in artifact.graph.input] == ["x"]
    assert [value.name for value in artifact.graph.output] == ["y", "z"]


# --- onnxsim and OnnxSlim drop an initializer that a caller may override (an input as well)


@pytest.mark.parametrize("overridden", ["w", "g", "k"])
@pytest.mark.parametrize("target", TARGETS)
def test_constant_that_a_caller_may_override_is_kept_and_not_folded(
    overridden: str, target: str, tmp_path: Path
) -> None:
    constants = {"w": values(4, 3, 3, 3), "k": values(4, 1, 1), "one": np.ones((), np.float32), **statistics(4)}
    nodes = [
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c g b m v", "n"),
        node("Mul", "k one", "factor"),
        node("Mul", "n factor", "p"),
        node("Relu", "p", "y"),
    ]
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, constants=constants)
    proto.graph.input.append(helper.make_tensor_value_info(overridden, 1, constants[overridden].shape))

    def run(x: torch.Tensor, **changed: np.ndarray) -> torch.Tensor:
        c = constants | changed
        return torch.relu(normalize(c)(F.conv2d(x, double(c["w"]))) * double(c["k"]))

    artifact = check_proto(proto, run, folder=tmp_path, target=target)
    assert [value.name for value in artifact.graph.input] == ["x", overridden]
    assert overridden in [tensor.name for tensor in artifact.graph.initializer]
    other, x = -2 * constants[overridden], values(3, 3, 6, 6)
    for level in LEVELS:
        with cnnc_runtime.load(artifact.SerializeToString(), device="cpu", optimization=level) as engine:
            (y,) = engine.session.run(None, {"x": x, overridden: other})
        np.testing.assert_allclose(y, run(double(x), **{overridden: other}).numpy(), rtol=1e-4, atol=1e-5)


# --- optimizer #253, #293, #259: squeezes counted from the end, and roundings of what is whole already


@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize(
    ("shape", "first", "second"),
    [
        ((5, 1, 1), -1, -1),
        ((5, 1, 1), -2, -1),
        ((1, 5, 1), -1, 1),
        ((1, 5, 1), 1, -1),
        ((1, 5, 1), -3, 2),
        ((1, 1, 5), 1, 1),
        ((1, 1, 5), 1, -2),
        ((1, 1, 5), -2, -2),
    ],
)
def test_squeeze_after_squeeze_with_axes_from_the_end(
    shape: tuple[int, int, int], first: int, second: int, opset: int, tmp_path: Path
) -> None:
    """Each axis counts in the shape that it meets: (n, 5, 1, 1), then (n, 5, 1)."""
    nodes = [node("Squeeze", "x a1", "one"), node("Squeeze", "one a2", "y")]
    constants = {"a1": np.array([first], np.int64), "a2": np.array([second], np.int64)}
    if opset < 13:
        nodes = [node("Squeeze", "x", "one", axes=[first]), node("Squeeze", "one", "y", axes=[second])]
        constants = {}
    proto = model(nodes, {"x": ("n", *shape)}, constants=constants, opset=opset)
    check_proto(proto, lambda x: x.squeeze(first).squeeze(second), folder=tmp_path)


ROUNDINGS = {"Ceil": torch.ceil, "Floor": torch.floor, "Round": torch.round}


@pytest.mark.parametrize("first", ROUNDINGS)
@pytest.mark.parametrize("second", ROUNDINGS)
def test_rounding_of_a_rounding_is_the_first(first: str, second: str, tmp_path: Path) -> None:
    proto = model([node(first, "x", "r"), node(second, "r", "y")], {"x": ("n", 3, 4)})
    check_proto(proto, lambda x: ROUNDINGS[second](ROUNDINGS[first](x)), folder=tmp_path)


# --- onnxscript #2963, #2947, onnxruntime #4898, pytorch #43795, #157621, #149065: the traced batch in a reshape


class Reshapes(nn.Module):
    """A flatten as it is often written, a grouping, and the channel shuffle of ShuffleNet."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, channels, height, width = x.shape
        grouped = x.view(batch, 2, channels // 2, height, width)
        shuffled = grouped.transpose(1, 2).contiguous().view(batch, -1, height, width)
        return x.view(x.size(0), -1), x.reshape(x.shape[0], 4, -1), shuffled


@pytest.mark.parametrize("traced", [1, 128])
def test_reshapes_keep_the_batch_open(traced: int) -> None:
    artifact = check_module(Reshapes(), torch.zeros(traced, 8, 3, 2), batches=(1, 3, 7))
    for value in artifact.graph.output:
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("traced", [1, 128])
def test_reshape_by_a_computed_batch_in_a_file(traced: int, tmp_path: Path) -> None:
    """The target is put together from Shape, Gather and Concat, and only the input's shape is open."""
    constants = {"zero": np.array([0], np.int64), "rest": np.array([4, -1], np.int64)}
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "batch"),
        node("Concat", "batch rest", "target", axis=0),
        node("Reshape", "x target", "y"),
    ]
    proto = model(nodes, {"x": ("n", 8, 3, 2)}, constants=constants)
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = traced  # declared wrongly: what was traced
    artifact = check_proto(proto, lambda x: x.reshape(x.shape[0], 4, -1), folder=tmp_path, batches=(1, 3, 7))
    assert artifact.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "n"
