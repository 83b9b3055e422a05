"""Convolutions, activations and element-wise arithmetic that engines and simplifiers merge where they must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto

from tests.cases.harness import TARGETS, check_proto, values
from tests.cases.normalization import double
from tests.contract.graphs import model, node

INF = float("inf")


# --- tf2onnx #2152, onnxruntime #27879: a constant along W (as many as there are channels) is no factor a channel


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", ["Mul", "Add", "Sub", "Div"])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 1, 4), (4, 1, 1), (1, 4, 1, 1), (1, 1, 4, 1), (1, 1, 1, 4),
                                   (1, 4, 4, 4)])  # fmt: skip
def test_only_a_constant_a_channel_is_folded(shape: tuple[int, ...], op: str, target: str, tmp_path: Path) -> None:
    w, k = values(4, 3, 3, 3), values(*shape, low=0.5, high=2.0)
    nodes = [node("Conv", "x w", "c"), node(op, "c k", "m"), node("Relu", "m", "y")]
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, constants={"w": w, "k": k})
    arithmetic = {"Mul": torch.mul, "Add": torch.add, "Sub": torch.sub, "Div": torch.div}[op]

    def truth(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(arithmetic(F.conv2d(x, double(w)), double(k)))

    check_proto(proto, truth, folder=tmp_path, target=target)


# --- onnxruntime #28540, #28559, #28543: what lies between is an output too, and nodes are not named as their results


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_result_in_the_middle_is_an_output_as_well(op: str, target: str, tmp_path: Path) -> None:
    w, k = values(4, 3, 3, 3), values(1, 4, 1, 1, low=-2.0)
    nodes = [node("Conv", "x w", "c"), node(op, "c k", "m"), node("Relu", "m", "y")]
    for i, one in enumerate(nodes):
        one.name = f"layer.{i}"
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, ("y", "m"), {"w": w, "k": k})
    arithmetic = {"Mul": torch.mul, "Add": torch.add}[op]

    def truth(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        m = arithmetic(F.conv2d(x, double(w)), double(k))
        return torch.relu(m), m

    artifact = check_proto(proto, truth, folder=tmp_path, target=target)
    assert [value.name for value in artifact.graph.output] == ["y", "m"]


# --- onnxruntime #10936, #11836, #23116, onnxscript #2836: Relu and Clip, in float64 too, with limits left out


def limits(*bounds: float | None, dtype: Any = np.float32) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A chain of Clips: (low, high) pairs, None for a limit left out; from r to y."""
    nodes, constants = [], {}
    pairs = list(zip(bounds[::2], bounds[1::2], strict=True))
    for i, pair in enumerate(pairs):
        names = ["_" if value is None else f"k{i}{j}" for j, value in enumerate(pair)]
        constants |= {name: np.array(v, dtype) for name, v in zip(names, pair, strict=True) if v is not None}
        source, result = "r" if i == 0 else f"c{i}", "y" if i == len(pairs) - 1 else f"c{i + 1}"
        nodes.append(node("Clip", " ".join([source, *names]), result))
    return nodes, constants


def clipped(x: torch.Tensor, *bounds: float | None) -> torch.Tensor:
    """By the standard: min(max(x, low), high), so that a low above the high gives the high."""
    for low, high in zip(bounds[::2], bounds[1::2], strict=True):
        x = torch.maximum(x, torch.tensor(-INF if low is None else low, dtype=x.dtype))
        x = torch.minimum(x, torch.tensor(INF if high is None else high, dtype=x.dtype))
    return x


CLIPS: list[tuple[float | None, ...]] = [
    (0.0, None),
    (None, 6.0),
    (None, None),
    (-1.0, 1.0),
    (0.5, 0.25),  # low above high
    (None, -1.0),
    (-2.0, 2.0, 0.0, 6.0),
    (0.0, 6.0, -1.0, None),
    (0.0, 1.0, 2.0, 3.0),  # ranges that do not meet
    (2.0, 3.0, 0.0, 1.0),
    (None, 1.0, 0.5, None),
    (0.5, 0.25, -1.0, 2.0),
]


@pytest.mark.parametrize("relu", [True, False], ids=["after relu", "alone"])
@pytest.mark.parametrize("bounds", CLIPS, ids=str)
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.DOUBLE], ids=["float32", "float64"])
def test_clips_keep_their_limits(bounds: tuple[float | None, ...], relu: bool, dtype: int, tmp_path: Path) -> None:
    """The input is an output as well: a chain may be constant by itself."""
    numpy_type = np.float64 if dtype == TensorProto.DOUBLE else np.float32
    nodes, constants = limits(*bounds, dtype=numpy_type)
    nodes[-1].output[0] = "last"
    nodes = [node("Relu" if relu else "Neg", "x", "r"), *nodes, node("Concat", "last x", "y", axis=1)]
    proto = model(nodes, {"x": ("n", 3, 4)}, constants=constants, dtype=dtype)

    def truth(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([clipped(torch.relu(x) if relu else -x, *bounds), x], 1)

    check_proto(proto, truth, folder=tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bounds", [(0.0, 6.0), (-1.0, 1.0), (None, 1.0), (0.0, None), (1.0, 0.5)], ids=str)
def test_clip_after_a_convolution_keeps_its_limits(
    bounds: tuple[float | None, ...], target: str, tmp_path: Path
) -> None:
    w = values(4, 3, 3, 3)
    nodes, constants = limits(*bounds)
    nodes[-1].output[0] = "last"
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r"), *nodes, node("Concat", "last r", "y", axis=1)]
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, constants={"w": w, **constants})

    def truth(x: torch.Tensor) -> torch.Tensor:
        r = torch.relu(F.conv2d(x, double(w)))
        return torch.cat([clipped(r, *bounds), r], 1)

    check_proto(proto, truth, folder=tmp_path, target=target)


@pytest.mark.parametrize("limit", [(0.0, 6.0), (-1.0, 1.0), (None, 0.5)], ids=str)
def test_clip_with_limits_as_attributes(limit: tuple[float | None, float | None], tmp_path: Path) -> None:
    """As it was written before opset 11."""
    attributes = {name: value for name, value in zip(("min", "max"), limit, strict=True) if value is not None}
    nodes = [node("Relu", "x", "r"), node("Clip", "r", "y", **attributes)]
    check_proto(model(nodes, {"x": ("n", 3, 4)}, opset=9), lambda x: clipped(torch.relu(x), *limit), folder=tmp_path)


# --- onnxruntime #20321, #20540: channels that do not fill a block of the CPU's layout


def squeeze_and_excite(channels: int) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A convolution, scaled by what its global average says, beside a reduction and a pooling of it."""
    constants = {
        "w": values(channels, 3, 3, 3),
        "down": values(2, channels, 1, 1),
        "up": values(channels, 2, 1, 1),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Conv", "g down", "d"),
        node("Relu", "d", "e"),
        node("Conv", "e up", "u"),
        node("Sigmoid", "u", "s"),
        node("Mul", "r s", "scaled"),
        node("ReduceMean", "scaled axes", "mean"),
        node("GlobalMaxPool", "scaled", "most"),
        node("Add", "mean most", "y"),
        node("AveragePool", "scaled", "z", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    return nodes, constants


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", [1, 3, 7, 8, 12, 17])
def test_global_pooling_of_channels_that_fill_no_block(channels: int, target: str, tmp_path: Path) -> None:
    nodes, constants = squeeze_and_excite(channels)
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, ("y", "z"), constants)

    def truth(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r = torch.relu(F.conv2d(x, double(constants["w"])))
        e = torch.relu(F.conv2d(r.mean((2, 3), keepdim=True), double(constants["down"])))
        scaled = r * torch.sigmoid(F.conv2d(e, double(constants["up"])))
        return scaled.mean((2, 3), keepdim=True) + scaled.amax((2, 3), keepdim=True), F.avg_pool2d(scaled, 2)

    check_proto(proto, truth, folder=tmp_path, target=target)


# --- onnxruntime #24711: a quantized convolution with an integer bias


def quantized() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Scales are powers of two, so that every sum is exact and no rounding can fall either way."""
    rng = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {
        "xs": np.array(2**-5, np.float32), "xz": np.array(3, np.int8),
        "w8": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.full(4, 2**-7, np.float32), "wz": np.zeros(4, np.int8),
        "b32": rng.integers(-20000, 20000, 4).astype(np.int32),
        "bs": np.full(4, 2**-12, np.float32), "bz": np.zeros(4, np.int32),
        "ys": np.array(2**-3, np.float32), "yz": np.array(-5, np.int8),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x xs xz", "xq"),
        node("DequantizeLinear", "xq xs xz", "xd"),
        node("DequantizeLinear", "w8 ws wz", "wd", axis=0),
        node("DequantizeLinear", "b32 bs bz", "bd", axis=0),
        node("Conv", "xd wd bd", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c ys yz", "yq"),
        node("DequantizeLinear", "yq ys yz", "y"),
    ]
    return nodes, constants


@pytest.mark.parametrize("target", TARGETS)
def test_quantized_convolution_with_an_integer_bias(target: str, tmp_path: Path) -> None:
    nodes, c = quantized()

    def quantize(x: torch.Tensor, scale: str, zero: str) -> torch.Tensor:
        steps = torch.round(x / double(c[scale])) + double(c[zero])
        return (torch.clamp(steps, -128, 127) - double(c[zero])) * double(c[scale])

    def truth(x: torch.Tensor) -> torch.Tensor:
        weight, bias = double(c["w8"]) * double(c["ws"]).reshape(-1, 1, 1, 1), double(c["b32"]) * double(c["bs"])
        return quantize(F.conv2d(quantize(x, "xs", "xz"), weight, bias, padding=1), "ys", "yz")

    check_proto(model(nodes, {"x": ("n", 3, 6, 6)}, constants=c), truth, folder=tmp_path, target=target)
