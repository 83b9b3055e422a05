"""The float64 evaluator: its convolutions and pools against onnxruntime and PyTorch, and the evaluator itself."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from onnx import parser

from cnnc.verify.reference import Float64Evaluator
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError
from tests.compiler.one_node import RANKS, SIZES, agrees, f32, graph, noise, rng


def windows(rank: int) -> list[dict[str, Any]]:
    """Attributes of a sliding window: strides that leave a rest, uneven padding, and padding by name."""
    return [
        {},
        {"strides": [2] * rank, "pads": [1] * rank + [0] * rank},
        {"strides": [2] * rank, "pads": [0] * rank + [1] * rank},
        {"strides": [3] * rank},
        *({"auto_pad": f"SAME_{way}", "strides": [s] * rank} for way in ("UPPER", "LOWER") for s in (1, 2)),
        {"auto_pad": "VALID", "strides": [2] * rank},
    ]


@RANKS
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_conv(rank: int, groups: int) -> None:
    x, w, b = noise(2, 4, *SIZES[rank]), noise(8, 4 // groups, *(3,) * rank), noise(8)
    for attributes in (*windows(rank), {"dilations": [2] * rank, "pads": [2] * rank + [3] * rank}):
        agrees("Conv", x, w, b, group=groups, kernel_shape=[3] * rank, **attributes)
    agrees("Conv", x, noise(4, 4 // groups, *(2,) * rank), opset=7, group=groups)


@RANKS
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_transpose(rank: int, groups: int) -> None:
    x, b, size = noise(2, 4, *SIZES[rank]), noise(6), np.array(SIZES[rank])
    two, three = {"strides": [2] * rank}, {"strides": [3] * rank}
    cases = [
        {},
        {**two, "pads": [1] * rank + [0] * rank, "output_padding": [1] * rank},
        {**three, "dilations": [2] * rank, "pads": [2] * 2 * rank, "output_padding": [1] * rank},
        {**two, "output_shape": list(size * 2)},
        {**two, "output_shape": list(size * 2 - 1), "auto_pad": "SAME_UPPER"},
        {**three, "output_shape": list(size * 3 - 1), "output_padding": [1] * rank},
        *({**two, "auto_pad": way} for way in ("SAME_UPPER", "SAME_LOWER", "VALID")),
        {**two, "auto_pad": "SAME_LOWER", "output_padding": [1] * rank},
        {"strides": [4] * rank, "auto_pad": "SAME_UPPER"},  # onnxruntime does not lengthen to size * stride
    ]
    for kernel, attributes in itertools.product((2, 3), cases):
        agrees("ConvTranspose", x, noise(4, 6 // groups, *(kernel,) * rank), b, group=groups, **attributes)


@RANKS
@pytest.mark.parametrize("groups", [1, 3])
def test_convolutions_are_float64_to_the_last_bits(rank: int, groups: int) -> None:
    x, w, v = noise(2, 6, *SIZES[rank]), noise(9, 6 // groups, *(3,) * rank), noise(6, 3, *(3,) * rank)
    tx, tw, tv = (torch.from_numpy(a).double() for a in (x, w, v))
    conv, transposed = (getattr(torch.nn.functional, f"conv{kind}{rank}d") for kind in ("", "_transpose"))
    for op, kernel, exact in (
        ("Conv", w, conv(tx, tw, stride=2, padding=1, dilation=2, groups=groups)),
        ("ConvTranspose", v, transposed(tx, tv, stride=2, padding=1, dilation=2, groups=groups)),
    ):
        attributes = {"strides": [2] * rank, "pads": [1] * 2 * rank, "dilations": [2] * rank, "group": groups}
        proto, feed = graph(op, [x, kernel], False, 20, 1, "", **attributes)
        np.testing.assert_allclose(Float64Evaluator(proto).run(feed)[0], exact.numpy(), rtol=0, atol=1e-13)


def test_a_convolution_of_many_blocks_equals_pytorch() -> None:
    x, w = noise(1, 64, 70, 70), noise(8, 64, 3, 3)
    proto, feed = graph("Conv", [x, w], False, 20, 1, "", pads=[1] * 4)
    exact = torch.conv2d(torch.from_numpy(x).double(), torch.from_numpy(w).double(), padding=1)
    np.testing.assert_allclose(Float64Evaluator(proto).run(feed)[0], exact.numpy(), rtol=0, atol=1e-12)


@RANKS
def test_fused_conv(rank: int) -> None:
    x, w, b, z = noise(2, 4, *SIZES[rank]), noise(6, 4, *(3,) * rank), noise(6), noise(2, 6, *SIZES[rank])
    activations: dict[str, list[float]] = {"": [], "Relu": [], "Tanh": [], "Sigmoid": [], "HardSwish": []}
    activations |= {"LeakyRelu": [0.1], "Clip": [-0.5, 1.0], "HardSigmoid": [0.3, 0.4]}
    for name, params in activations.items():
        attributes: dict[str, Any] = {"activation": name} if name else {}
        attributes |= {"activation_params": params} if params else {}
        agrees("FusedConv", x, w, b, z, domain="com.microsoft", pads=[1] * 2 * rank, **attributes)
        agrees("FusedConv", x, w, domain="com.microsoft", auto_pad="SAME_LOWER", strides=[2] * rank, **attributes)


@RANKS
@pytest.mark.parametrize("kernel", [2, 3])
def test_pools(rank: int, kernel: int) -> None:
    x = noise(2, 3, *SIZES[rank])
    for attributes in windows(rank):
        same = {**attributes, "kernel_shape": [kernel] * rank}
        agrees("MaxPool", x, opset=8, **same)
        agrees("LpPool", x, opset=11, p=3, **same)
        for include in (0, 1):
            agrees("AveragePool", x, opset=7, count_include_pad=include, **same)
        if "auto_pad" in attributes:
            continue
        for dilation, ceil in itertools.product((1, 2), (0, 1)):
            full = {**same, "dilations": [dilation] * rank, "ceil_mode": ceil}
            agrees("MaxPool", x, opset=22, **full)
            agrees("MaxPool", x, opset=12, outputs=2, **full)
            agrees("MaxPool", x, opset=12, outputs=2, storage_order=1, **full)
            agrees("LpPool", x, opset=22, **full)
            for include in (0, 1):
                agrees("AveragePool", x, opset=22, count_include_pad=include, **full)


@RANKS
def test_global_pools(rank: int) -> None:
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        agrees(op, noise(2, 3, *SIZES[rank]), opset=7)


def test_max_pool_of_bytes() -> None:
    x = rng.integers(-128, 127, (2, 3, 9, 9)).astype(np.int8)
    agrees("MaxPool", x, opset=12, outputs=2, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])


def test_ceil_mode_drops_a_window_that_starts_in_the_end_padding() -> None:
    proto, feed = graph("AveragePool", [np.ones((1, 1, 2, 2), np.float32)], False, 19, 1, "", kernel_shape=[3, 3],
                        pads=[1] * 4, strides=[3, 3], ceil_mode=1)  # fmt: skip
    assert Float64Evaluator(proto).run(feed)[0].tolist() == [[[[1.0]]]]


BRANCHES = """
<ir_version: 8, opset_import: ["": 17, "local": 1]>
net (float[N,3] x, bool c) => (float[N,3] y, float[N,3] z)
<float[3] w = {1., 2., 3.}>
{
  h = Mul(x, w)
  y = If (c) <then_branch = yes () => (float[N,3] t) { t = Add(h, w) },
              else_branch = no () => (float[N,3] e) { n = Cast <to=1> (h)  e = Sub(n, x) }>
  q = local.f <alpha=0.1> (h)
  z = Add(q, y)
}
<domain: "local", opset_import: ["": 17]>
f <alpha> (a) => (b) { k = Constant <value_float: float = @alpha> ()  c = Cast <to=10> (a)  b = Mul(c, k) }
"""


@pytest.mark.parametrize("taken", [True, False])
def test_subgraphs_and_functions_are_float64_too(taken: bool) -> None:
    proto, x = parser.parse_model(BRANCHES), noise(4, 3)
    before = proto.SerializeToString()
    y, z = Float64Evaluator(proto).run({"x": x, "c": np.array(taken)})
    h = x.astype(np.float64) * [1, 2, 3]
    np.testing.assert_array_equal(y, h + np.array([1, 2, 3]) if taken else h - x)
    np.testing.assert_array_equal(z, h * np.float64(np.float32(0.1)) + y)
    assert proto.SerializeToString() == before


def test_intermediate_values() -> None:
    evaluator, x = Float64Evaluator(parser.parse_model(BRANCHES)), noise(4, 3)
    values = evaluator.intermediate({"x": x}, ["h", "w", "x", "q"])  # c is not needed for these
    h = x.astype(np.float64) * [1, 2, 3]
    np.testing.assert_array_equal(values["h"], h)
    np.testing.assert_array_equal(values["q"], h * np.float64(np.float32(0.1)))
    assert list(values) == ["h", "w", "x", "q"] and all(value.dtype == np.float64 for value in values.values())
    with pytest.raises(InvalidInputError, match="'nowhere'"):
        evaluator.intermediate({"x": x}, ["nowhere"])


def test_values_are_let_go_of() -> None:
    chain = " ".join(f"v{i + 1} = Relu(v{i})" for i in range(30))
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> g (float[N] v0) => (float[N] v30) {{{chain}}}')
    evaluator, x = Float64Evaluator(proto), np.ones(100_000, np.float32)
    tracemalloc.start()
    evaluator.intermediate({"v0": x}, ["v15"])
    evaluator.run({"v0": x})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 8 * x.size  # of 30 values


def test_an_output_left_out_is_not_read_for_an_input_left_out() -> None:
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (float[3] y) <float high = {0.5}> {
          d, mask = Dropout(x)
          y = Clip(d, , high)
        }
    """)
    proto.graph.node[0].output[1] = ""
    assert Float64Evaluator(proto).run({"x": f32(-9, 0, 9)})[0].tolist() == [-9, 0, 0.5]


def test_the_default_domain_has_two_names() -> None:
    proto, feed = graph("Relu", [noise(3)], False, 17, 1, "ai.onnx")
    proto.opset_import[0].domain = "ai.onnx"
    np.testing.assert_array_equal(Float64Evaluator(proto).run(feed)[0], np.maximum(feed["in0"], 0))


def test_errors_name_the_node() -> None:
    proto, _ = graph("Nope", [noise(2)], False, 17, 1, "")
    with pytest.raises(UnsupportedModelError, match="Nope"):
        Float64Evaluator(proto)
    evaluator = Float64Evaluator(parser.parse_model(BRANCHES))
    with pytest.raises(UnsupportedModelError, match="Mul 'h'"):
        evaluator.run({"x": noise(4, 2), "c": np.array(True)})
    with pytest.raises(InvalidInputError, match="reads 'c'"):
        evaluator.run({"x": noise(4, 3)})
    proto, feed = graph("FusedConv", [noise(1, 1, 4), noise(1, 1, 2)], False, 17, 1, "com.microsoft", activation="Elu")
    with pytest.raises(UnsupportedModelError, match="'Elu'"):
        Float64Evaluator(proto).run(feed)


def test_pytorch_is_not_needed() -> None:
    code = "import sys; sys.modules['torch'] = None; import cnnc.verify.reference"
    subprocess.run([sys.executable, "-c", code], check=True)
