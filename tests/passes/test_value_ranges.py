"""Bounds hold what is computed, in any order and type; they are exact where nothing rounds; unknown is unbounded."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from cnnc_passes.ranges.interval import Interval
from cnnc_passes.ranges.value_ranges import Bounds, ValueRanges
from cnnc_runtime.errors import UsageError
from tests.contract.blocks import batchnorm
from tests.contract.edits import overridable, to_float16
from tests.contract.graphs import model, node, run_exactly, run_on_engine, weights

F32 = np.finfo(np.float32)


def bounds(proto: onnx.ModelProto, ranges: dict[str, Bounds] | None = None) -> dict[str, Interval]:
    """Of every value, by name."""
    graph, known = ir.from_proto(proto), ValueRanges(ranges)
    values = [*graph.graph.inputs, *(output for one in graph.graph for output in one.outputs)]
    return {str(value.name): known.of(value) for value in values}


def one(op: str, inputs: str = "x", dtype: int = TensorProto.FLOAT, **given: object) -> onnx.ModelProto:
    """A node on x, (2, 3, 6, 6); arrays among `given` are constants, the rest attributes."""
    constants = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    attributes = {name: value for name, value in given.items() if name not in constants}
    return model([node(op, inputs, "y", **attributes)], {"x": [2, 3, 6, 6]}, ["y"], constants, dtype=dtype)


def test_unknown_inputs_are_unbounded() -> None:
    low, high = bounds(one("Conv", "x w", w=weights(4, 3, 3, 3)))["y"]
    assert np.all(low == -np.inf) and np.all(high == np.inf) and low.shape == (4,)


def test_a_declared_input_bounds_a_convolution_per_channel() -> None:
    w = np.array([[[1, 2]], [[-1, 3]], [[-2, -2]]], np.float32).reshape(3, 1, 2)
    proto = model([node("Conv", "x w b", "y")], {"x": [1, 1, 5]}, ["y"], {"w": w, "b": np.array([0, 1, 0], np.float32)})
    low, high = bounds(proto, {"x": (-1, 2)})["y"]
    np.testing.assert_allclose(low, [-3, -4, -8], rtol=1e-5)
    np.testing.assert_allclose(high, [6, 8, 4], rtol=1e-5)
    assert np.all(low < [-3, -4, -8]) and np.all(high > [6, 8, 4])  # rounded outwards


def test_padding_adds_zero_to_the_input() -> None:
    w = np.ones((1, 3, 3, 3), np.float32)
    inside, padded = (bounds(one("Conv", "x w", w=w, pads=[p] * 4), {"x": (1, 2)})["y"] for p in (0, 1))
    assert inside.low[0] == pytest.approx(27, rel=1e-5) and padded.low[0] == pytest.approx(0, abs=1e-3)
    assert inside.high[0] == padded.high[0] == pytest.approx(54, rel=1e-5)


def test_a_filter_of_zeros_is_exactly_its_bias() -> None:
    w, b = weights(4, 3, 3, 3), weights(4)
    w[[0, 3]] = 0
    low, high = bounds(one("Conv", "x w b", w=w, b=b))["y"]
    np.testing.assert_array_equal(low[[0, 3]], b[[0, 3]])
    np.testing.assert_array_equal(high[[0, 3]], b[[0, 3]])


def test_a_gamma_of_zero_is_exactly_beta() -> None:
    statistics = batchnorm(3)  # its first gamma is 0
    low, high = bounds(one("BatchNormalization", "x gamma beta mean var", **statistics))["y"]
    assert low[0] == high[0] == statistics["beta"][0]
    assert np.all(low[1:] == -np.inf)


def test_relu_of_what_is_negative_is_exactly_zero() -> None:
    constants = {"w": np.full((2, 3, 1, 1), 0.1, np.float32), "b": np.array([-1, 1], np.float32)}
    proto = model([node("Conv", "x w b", "c"), node("Relu", "c", "y")], {"x": [1, 3, 4, 4]}, ["y"], constants)
    low, high = bounds(proto, {"x": (0, 1)})["y"]
    assert low[0] == high[0] == 0 and high[1] > 1


def test_integer_inputs_are_bounded_by_their_type() -> None:
    proto = one("Cast", to=TensorProto.FLOAT, dtype=TensorProto.UINT8)
    low, high = bounds(proto)["y"]
    assert np.all(low == 0) and np.all(high == 255)


def test_a_constant_that_a_caller_may_override_is_unbounded() -> None:
    proto = one("Mul", "x k", k=np.float32(2).reshape(1, 1, 1))
    assert bounds(proto, {"x": (0, 1)})["y"].high[0] == pytest.approx(2)
    assert bounds(overridable(proto, "k"), {"x": (0, 1)})["y"].high[0] == np.inf


def test_an_operator_without_a_rule_is_unbounded() -> None:
    low, high = bounds(one("LRN", size=3), {"x": (0, 1)})["y"]
    assert np.all(low == -np.inf) and np.all(high == np.inf)


def test_float16_sums_that_rounding_may_swallow_are_unbounded() -> None:
    """2048 products: n*u is 1."""
    proto = one("Conv", "x w", w=weights(1, 3, 6, 6))
    few = bounds(to_float16(proto), {"x": (0, 1)})["y"]
    many = model([node("MatMul", "x w", "y")], {"x": [2, 4096]}, ["y"], {"w": weights(4096, 1)})
    assert np.isfinite(few.high[0])
    assert bounds(to_float16(many), {"x": (0, 1)})["y"].high[0] == np.inf
    assert np.isfinite(bounds(many, {"x": (0, 1)})["y"].high[0])


def test_global_means_of_an_open_size_keep_their_sign() -> None:
    proto = model([node("Relu", "x", "r"), node("GlobalAveragePool", "r", "y")], {"x": [1, 3, "h", "w"]})
    low, high = bounds(proto)["y"]
    assert np.all(low == 0) and np.all(high == np.inf)


def test_channels_keep_their_own_bounds_through_concat_and_flatten() -> None:
    nodes = [
        node("Conv", "x w b", "c"),
        node("Relu", "x", "r"),
        node("Concat", "c r", "t", axis=1),
        node("Flatten", "t", "y"),
    ]
    constants = {"w": np.zeros((2, 3, 1, 1), np.float32), "b": np.array([5, -7], np.float32)}
    low, high = bounds(model(nodes, {"x": [1, 3, 2, 2]}, ["y"], constants), {"x": (-1, 1)})["y"]
    np.testing.assert_array_equal(low, [*[5] * 4, *[-7] * 4, *[0] * 12])
    np.testing.assert_array_equal(high, [*[5] * 4, *[-7] * 4, *[1] * 12])


def test_a_range_that_is_none_is_refused() -> None:
    for low, high in ((1.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(UsageError, match="range of input 'x'"):
            ValueRanges({"x": (low, high)})


# What one node of the random nets below may be: on `a`, and on `b` of the same shape; constants as named.
_LAYERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "conv": ("Conv", "a w3 b6", {"pads": [1, 1, 1, 1]}),
    "conv-grouped": ("Conv", "a g3", {"group": 2, "pads": [1, 1, 1, 1]}),
    "conv-1x1": ("Conv", "a w1 b6", {}),
    "conv-transpose": ("ConvTranspose", "a t3 b6", {"pads": [1, 1, 1, 1]}),
    "batchnorm": ("BatchNormalization", "a gamma beta mean var", {}),
    "max-pool": ("MaxPool", "a", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average-pool": ("AveragePool", "a", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average-pool-padded": ("AveragePool", "a", {"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}),
    "add": ("Add", "a b", {}),
    "sub": ("Sub", "a b", {}),
    "mul": ("Mul", "a b", {}),
    "max": ("Max", "a b k", {}),
    "min": ("Min", "a b", {}),
    "sum": ("Sum", "a b a k", {}),
    "scale": ("Mul", "k a", {}),
    "shift": ("Add", "map a", {}),
    "divide": ("Div", "a positive", {}),
    "prelu": ("PRelu", "a k", {}),
    "leaky": ("LeakyRelu", "a", {"alpha": 0.3}),
    "clip": ("Clip", "a low high", {}),
    "hard-sigmoid": ("HardSigmoid", "a", {"alpha": -0.3}),
    **{op: (op, "a", {}) for op in ("Abs", "Erf", "Gelu", "HardSwish", "Mish", "Neg", "Relu", "Sigmoid", "Softmax")},
    **{op: (op, "a", {}) for op in ("Softplus", "Softsign", "Tanh")},
}


def _constants(rng: np.random.Generator, scale: float) -> dict[str, np.ndarray]:
    shapes = {"w3": (6, 6, 3, 3), "g3": (6, 3, 3, 3), "w1": (6, 6, 1, 1), "t3": (6, 6, 3, 3), "b6": (6,)}
    shapes |= {"gamma": (6,), "beta": (6,), "mean": (6,), "k": (6, 1, 1), "map": (6, 5, 5)}
    arrays = {name: (rng.standard_normal(shape) * scale).astype(np.float32) for name, shape in shapes.items()}
    arrays["w3"][0] = arrays["gamma"][1] = 0
    arrays |= {
        "var": rng.uniform(0.01, 2, 6).astype(np.float32),
        "positive": np.float32(rng.uniform(0.1, 3, (6, 1, 1))),
    }
    return arrays | {"low": np.float32(-0.5).reshape(()), "high": np.float32(0.7).reshape(())}


def _net(layers: list[str], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Each layer reads the last result as a, the one before as b; every result is an output."""
    nodes, last, before = [], "x", "x"
    for number, layer in enumerate(layers):
        op, inputs, attributes = _LAYERS[layer]
        names = " ".join({"a": last, "b": before}.get(name, name) for name in inputs.split())
        nodes.append(node(op, names, f"y{number}", **attributes))
        before, last = last, f"y{number}"
    used = {name for one_node in nodes for name in one_node.input}
    outputs = [one_node.output[0] for one_node in nodes]
    return model(nodes, {"x": [1, 6, 5, 5]}, outputs, {name: a for name, a in constants.items() if name in used})


def _extremes(proto: onnx.ModelProto, low: float, high: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Within the range: anywhere, its ends, and what drives the first convolution to one of its own."""
    shape = (1, 6, 5, 5)
    inputs = [rng.uniform(low, high, shape), np.full(shape, low), np.full(shape, high)]
    inputs += [np.where(rng.random(shape) < 0.5, low, high) for _ in range(2)]
    kernel = next((t for t in proto.graph.initializer if t.name == "w3"), None)
    if kernel is not None:
        rows = onnx.numpy_helper.to_array(kernel)[1:3].sum(axis=(2, 3))
        inputs += [np.where(row[:, None, None] > 0, high, low) * np.ones(shape) for row in rows]
    return [np.clip(x.astype(np.float32), np.float32(low), np.float32(high)) for x in inputs]


@settings(max_examples=80, deadline=None)
@given(
    layers=st.lists(st.sampled_from(sorted(_LAYERS)), min_size=1, max_size=5),
    center=st.floats(-3, 3, width=32),
    width=st.floats(0, 8, width=32),
    scale=st.sampled_from([1e-3, 0.3, 1.0, 30.0]),
    seed=st.integers(0, 2**31),
)
def test_computed_values_stay_inside(layers: list[str], center: float, width: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = float(np.float32(center)), float(np.float32(center + width))
    proto = _net(layers, _constants(rng, scale))
    every = bounds(proto, {"x": (low, high)})
    names = [value.name for value in proto.graph.output]
    for x, run in itertools.product(_extremes(proto, low, high, rng), (run_on_engine, run_exactly)):
        for name, y in zip(names, run(proto, {"x": x}), strict=True):
            rows = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)
            assert np.all(rows.min(axis=1) >= every[name].low), (name, layers)
            assert np.all(rows.max(axis=1) <= every[name].high), (name, layers)


@pytest.mark.parametrize("layer", sorted(_LAYERS))
def test_every_rule_bounds_a_bounded_input(layer: str) -> None:
    proto = _net([layer], _constants(np.random.default_rng(1), 1.0))
    low, high = bounds(proto, {"x": (-1, 1)})["y0"]
    assert low.shape == (6,) and np.all(np.isfinite([low, high])) and np.all(low <= high)
    assert np.all(np.abs([low, high]) < 1e3)
