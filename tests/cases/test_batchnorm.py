"""BatchNormalization: what may be folded into what, with which layout, and how exactly; and training mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import cnnc
import cnnc_runtime
from cnnc_runtime.errors import UnsupportedModelError
from tests.cases.harness import LEVELS, TARGETS, check_module, check_proto, nodes_of, values
from tests.cases.normalization import double, normalize, statistics
from tests.contract.graphs import model, node
from tests.nets import randomize_statistics

X = {"x": ("n", 3, 6, 6)}


# --- onnxruntime folds a BatchNormalization in training mode, and drifts from call to call


def in_training_mode() -> onnx.ModelProto:
    outputs = "y rm rv"
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c g b m v", outputs, training_mode=1)]
    constants = {"w": values(4, 3, 3, 3), **statistics(4, g=1, b=0, m=0, v=1)}
    return model(nodes, {"x": (4, 3, 6, 6)}, constants=constants)


def in_a_function() -> onnx.ModelProto:
    """The same node in a function of the model's own."""
    proto = in_training_mode()
    body = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    opset = helper.make_opsetid("", 20)
    function = helper.make_function("own", "Normalize", list(body[0].input), ["y"], body, [opset])
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    call = helper.make_node("Normalize", list(body[0].input), ["y"], domain="own")
    proto.graph.node.remove(body[0])
    proto.graph.node.append(call)
    return proto


@pytest.mark.parametrize("graph", [in_training_mode, in_a_function])
def test_training_mode_is_refused_before_any_pass(graph: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(graph(), path)
    with pytest.raises(UnsupportedModelError, match=r"training_mode=1.*model\.eval\(\)"):
        cnnc.compile(path, output=out, device="cpu")
    assert not out.exists()


# --- onnxruntime #4110, #20282, #28814: a convolution that others read as well


@pytest.mark.parametrize("target", TARGETS)
def test_convolution_that_is_an_output_is_not_folded(target: str, tmp_path: Path) -> None:
    constants = {"w": values(4, 3, 3, 3), **statistics(4)}
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c g b m v", "n"), node("Relu", "n", "y")]
    proto = model(nodes, X, ("y", "c"), constants)

    def truth(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        c = F.conv2d(x, double(constants["w"]))
        return torch.relu(normalize(constants)(c)), c

    artifact = check_proto(proto, truth, folder=tmp_path, target=target)
    assert [value.name for value in artifact.graph.output] == ["y", "c"]


@pytest.mark.parametrize("target", TARGETS)
def test_convolution_that_feeds_two_normalizations(target: str, tmp_path: Path) -> None:
    second = {f"second_{name}": array[::-1].copy() for name, array in statistics(4).items()}
    constants = {"w": values(4, 3, 3, 3), **statistics(4), **second}
    nodes = [
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c g b m v", "n1"),
        node("BatchNormalization", "c second_g second_b second_m second_v", "n2", epsilon=1e-2),
        node("Relu", "n1", "r"),
        node("Sub", "r n2", "y"),
    ]
    proto = model(nodes, X, constants=constants)

    def truth(x: torch.Tensor) -> torch.Tensor:
        c = F.conv2d(x, double(constants["w"]))
        return torch.relu(normalize(constants)(c)) - normalize(constants, "second_", 1e-2)(c)

    check_proto(proto, truth, folder=tmp_path, target=target)


# --- opencv #28689: not across a Relu, nor before a padded convolution


@pytest.mark.parametrize("target", TARGETS)
def test_normalization_is_not_folded_across_a_relu(target: str, tmp_path: Path) -> None:
    constants = {"w": values(4, 3, 3, 3), **statistics(4)}
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), node("BatchNormalization", "r g b m v", "y")]

    def truth(x: torch.Tensor) -> torch.Tensor:
        return normalize(constants)(torch.relu(F.conv2d(x, double(constants["w"]))))

    check_proto(model(nodes, X, constants=constants), truth, folder=tmp_path, target=target)


@pytest.mark.parametrize("target", TARGETS)
def test_normalization_before_a_padded_convolution(target: str, tmp_path: Path) -> None:
    """The padding is 0 after the shift: folding it into the weights ahead is wrong at the border."""
    constants = {"w": values(4, 3, 3, 3), **statistics(3)}
    nodes = [node("BatchNormalization", "x g b m v", "n"), node("Conv", "n w", "y", pads=[1, 1, 1, 1])]

    def truth(x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(normalize(constants)(x), double(constants["w"]), padding=1)

    check_proto(model(nodes, X, constants=constants), truth, folder=tmp_path, target=target)


# --- onnxscript #2867, #2879, onnxsim #228, optimizer #316: a transposed convolution has its outputs on axis 1


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), nn.BatchNorm2d(6))
        self.grouped = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False), nn.BatchNorm2d(6))
        randomize_statistics(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.wide(x), self.grouped(x)


def test_transposed_convolution_and_normalization() -> None:
    artifact = check_module(Transposed(), torch.zeros(1, 4, 5, 5))
    assert not nodes_of(artifact, "BatchNormalization")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_is_folded_along_its_outputs(groups: int, target: str, tmp_path: Path) -> None:
    constants = {"w": values(4, 6 // groups, 3, 3), "bias": values(6), **statistics(6)}
    transpose = node("ConvTranspose", "x w bias", "c", group=groups, strides=[2, 2])
    nodes = [transpose, node("BatchNormalization", "c g b m v", "y")]

    def truth(x: torch.Tensor) -> torch.Tensor:
        y = F.conv_transpose2d(x, double(constants["w"]), double(constants["bias"]), stride=2, groups=groups)
        return normalize(constants)(y)

    check_proto(model(nodes, {"x": ("n", 4, 5, 5)}, constants=constants), truth, folder=tmp_path, target=target)


# --- onnx #2677, optimizer #178, #133: how exact the fold is, wherever its constants are kept


def as_constant_nodes(proto: onnx.ModelProto) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in proto.graph.initializer]
    nodes += proto.graph.node
    for field in ("initializer", "node"):
        proto.graph.ClearField(field)
    proto.graph.node.extend(nodes)
    return proto


@pytest.mark.parametrize("kept", [lambda proto: proto, as_constant_nodes], ids=["initializers", "constant nodes"])
def test_folded_weights_are_the_exact_ones_rounded_once(kept: Callable[..., Any], tmp_path: Path) -> None:
    constants = {"w": values(4, 3, 3, 3), "bias": values(4), **statistics(4)}
    nodes = [node("Conv", "x w bias", "c"), node("BatchNormalization", "c g b m v", "y", epsilon=1e-3)]

    def truth(x: torch.Tensor) -> torch.Tensor:
        return normalize(constants, epsilon=1e-3)(F.conv2d(x, double(constants["w"]), double(constants["bias"])))

    artifact = check_proto(kept(model(nodes, X, constants=constants)), truth, folder=tmp_path)
    (conv,) = artifact.graph.node
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in artifact.graph.initializer}
    g, b, m, v, bias = (constants[name].astype(np.float64) for name in ("g", "b", "m", "v", "bias"))
    scale = g / np.sqrt(v + np.float64(np.float32(1e-3)))
    exact = {conv.input[1]: constants["w"] * scale.reshape(-1, 1, 1, 1), conv.input[2]: (bias - m) * scale + b}
    for name, wanted in exact.items():
        assert (np.abs(arrays[name] - wanted) <= 0.5 * np.spacing(np.abs(arrays[name])) * (1 + 1e-6)).all()


# --- float16 overflows where a factor is folded into weights: the product with the input need not


def times_a_large_factor() -> onnx.ModelProto:
    constants = {"w": 100 * values(4, 2, 3, 3), "k": np.full((1, 4, 1, 1), 2000, np.float32)}
    return in_float16([node("Conv", "x w", "c"), node("Mul", "c k", "y")], constants)


def over_a_small_variance() -> onnx.ModelProto:
    constants = {"w": 100 * values(4, 2, 3, 3), **statistics(4, g=10, v=1e-6)}
    return in_float16([node("Conv", "x w", "c"), node("BatchNormalization", "c g b m v", "y", epsilon=1e-7)], constants)


def in_float16(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    narrow = {name: array.astype(np.float16) for name, array in constants.items()}
    return model(nodes, {"x": ("n", 2, 5, 5)}, constants=narrow, dtype=TensorProto.FLOAT16)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("graph", [times_a_large_factor, over_a_small_variance])
def test_float16_stays_finite(graph: Callable[[], onnx.ModelProto], target: str, tmp_path: Path) -> None:
    check_proto(graph(), folder=tmp_path, scale=1e-3, target=target)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("graph", [times_a_large_factor, over_a_small_variance])
def test_float16_stays_finite_in_a_file_that_was_never_compiled(
    graph: Callable[[], onnx.ModelProto], level: Any
) -> None:
    x = (1e-3 * values(3, 2, 5, 5)).astype(np.float16)
    with cnnc_runtime.load(graph().SerializeToString(), device="cpu", optimization=level) as engine:
        y = engine.run(x)
    assert np.isfinite(y).all() and np.ptp(y) > 0
