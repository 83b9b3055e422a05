"""Networks with a third of their BatchNorm scales at zero get as much smaller as that allows; dead Relus go."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from cnnc.verify.tolerance import relative_error
from cnnc_passes.costs import model_cost
from cnnc_passes.driver import Driver
from cnnc_passes.laws.fold_batchnorm import FoldBatchNorm
from cnnc_passes.laws.prune_constant import PruneConstant
from cnnc_passes.laws.prune_unread import PruneUnread
from cnnc_passes.rewrite import Change, Rewrite
from tests.contract.graphs import feeds, model, node, run_exactly, run_on_engine, weights

WIDTHS = (12, 18, 24)


class Net:
    """Collects the nodes of Conv, BatchNormalization, Relu blocks in which every third gamma is zero."""

    def __init__(self, beta: float) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._beta = beta

    def conv_bn(self, x: str, inputs: int, outputs: int, y: str, kernel: int = 3, stride: int = 1) -> str:
        gamma, beta = weights(outputs, low=0.5, high=1.5), weights(outputs)
        gamma[::3], beta[::3] = 0, self._beta
        parameters = {"g": gamma, "b": beta, "m": weights(outputs), "v": weights(outputs, low=0.5, high=1.5)}
        self.constants |= {f"{name}_{y}": array for name, array in parameters.items()}
        self.constants[f"w_{y}"] = weights(outputs, inputs, kernel, kernel)
        pads = [kernel // 2] * 4
        self.nodes.append(node("Conv", f"{x} w_{y}", f"c_{y}", pads=pads, strides=[stride] * 2))
        self.nodes.append(node("BatchNormalization", " ".join([f"c_{y}", *(f"{n}_{y}" for n in parameters)]), y))
        return y

    def relu(self, x: str) -> str:
        self.nodes.append(node("Relu", x, f"r_{x}"))
        return f"r_{x}"

    def classified(self, x: str, channels: int) -> onnx.ModelProto:
        self.constants |= {"fc": weights(10, channels), "fb": weights(10)}
        self.nodes += [
            node("GlobalAveragePool", x, "pooled"),
            node("Flatten", "pooled", "flat"),
            node("Gemm", "flat fc fb", "y", transB=1),
        ]
        return model(self.nodes, {"x": ["batch", 3, 16, 16]}, ["y"], self.constants)


def chain(beta: float) -> onnx.ModelProto:
    net, x, inputs = Net(beta), "x", 3
    for number, outputs in enumerate(WIDTHS):
        x = net.relu(net.conv_bn(x, inputs, outputs, f"n{number}", stride=1 + number % 2))
        inputs = outputs
    return net.classified(x, inputs)


def resnet(beta: float) -> onnx.ModelProto:
    """Stem, and per width a block of two 3x3 convolutions with a projection, and one with the identity."""
    net = Net(beta)
    x, inputs = net.relu(net.conv_bn("x", 3, WIDTHS[0], "stem")), WIDTHS[0]
    for number, outputs in enumerate(WIDTHS):
        for block in ("a", "b"):
            name, stride = f"{block}{number}", 2 if block == "a" else 1
            first = net.relu(net.conv_bn(x, inputs, outputs, f"{name}_1", stride=stride))
            second = net.conv_bn(first, outputs, outputs, f"{name}_2")
            side = net.conv_bn(x, inputs, outputs, f"{name}_s", 1, stride) if block == "a" else x
            net.nodes.append(node("Add", f"{second} {side}", f"{name}_sum"))
            x, inputs = net.relu(f"{name}_sum"), outputs
    return net.classified(x, inputs)


def pruned(proto: onnx.ModelProto, *laws: Rewrite) -> tuple[onnx.ModelProto, ir.Model]:
    graph = ir.from_proto(proto)
    driver = Driver(graph)
    driver.run(*(laws or (FoldBatchNorm(), PruneConstant(), PruneUnread())))
    proto = ir.to_proto(graph)
    onnx.checker.check_model(proto)
    return proto, graph


def widths(graph: ir.Model) -> list[int]:
    """The output channels of each convolution."""
    return [int(n.inputs[1].shape[0]) for n in graph.graph if n.op_type == "Conv"]


def assert_equal(before: onnx.ModelProto, after: onnx.ModelProto, limit: float) -> None:
    for feed in feeds(before):
        truth = run_exactly(before, feed)[0]
        assert relative_error(run_exactly(after, feed)[0], truth) < limit
        own = relative_error(run_on_engine(before, feed)[0], truth)
        assert relative_error(run_on_engine(after, feed)[0], truth) <= 8 * own + 2e-6


@pytest.mark.parametrize(("beta", "stand_ins"), [(0.0, 0), (-0.5, 0), (0.5, 1)])
def test_a_chain_loses_every_channel_without_scale(beta: float, stand_ins: int) -> None:
    """With a positive beta, a padded reader keeps one channel for all; the last layer is read without padding."""
    before = chain(beta)
    after, graph = pruned(before)
    assert widths(graph) == [*(w * 2 // 3 + stand_ins for w in WIDTHS[:-1]), WIDTHS[-1] * 2 // 3]
    assert_equal(before, after, 1e-5)


def test_for_an_engine_with_a_blocked_layout_a_multiple_is_left() -> None:
    """Of 12, 18 and 24 channels, 8, 12 and 16 are needed; in blocks of six that makes 12, 12 and 18."""
    before = chain(0.0)
    after, graph = pruned(before, FoldBatchNorm(), PruneConstant(multiples=(6,)), PruneUnread((6,)))
    assert widths(graph) == [12, 12, 18]
    assert_equal(before, after, 1e-5)


@pytest.mark.parametrize(("beta", "stand_ins"), [(0.0, 0), (0.5, 1)])
def test_a_residual_net_loses_what_all_sides_of_each_sum_lose(beta: float, stand_ins: int) -> None:
    before = resnet(beta)
    after, graph = pruned(before)
    macs = [model_cost(ir.from_proto(proto)).macs for proto in (before, after)]
    assert widths(graph) == [w * 2 // 3 + stand_ins for w in (WIDTHS[0], *(w for w in WIDTHS for _ in range(5)))]
    assert macs[1] < 0.6 * macs[0]
    assert_equal(before, after, 1e-5)


def test_zeros_that_leave_no_constant_change_no_number() -> None:
    """Nothing is rounded anew: the same weights, fewer of them."""
    before, _ = pruned(chain(0.0), FoldBatchNorm())
    after, _ = pruned(before, PruneConstant(), PruneUnread())
    assert_equal(before, after, 1e-13)


def dead_relu(*bias: float, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Channels that are 0.75 * x + b: with b of -0.8, 0.1, -0.5, -0.76, 0.3, 0.2, or those given."""
    constants = {
        "w": np.full((6, 3, 1, 1), 0.25, np.float32),
        "b": np.array(bias or (-0.8, 0.1, -0.5, -0.76, 0.3, 0.2), np.float32),
        "v": weights(5, 6, 3, 3),
    }
    nodes = [
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("Conv", "f w b", "c"),
        node("Relu", "c", "r"),
        node("Conv", "r v", "y", pads=[1, 1, 1, 1]),
    ]
    return model(nodes, {"x": ["batch", 3, 6, 6]}, ["y"], constants, dtype=dtype)


@pytest.mark.parametrize(("low", "high", "left"), [(0, 1, 4), (-1, 1.05, 5), (0, 0.6, 3), (-5, 2, 6)])
def test_a_dead_relu_goes_where_a_range_is_declared(low: float, high: float, left: int) -> None:
    before = dead_relu()
    after, graph = pruned(before, PruneConstant(ranges={"x": (low, high)}))
    assert widths(graph)[0] == left
    for x in np.linspace(low, high, 5):
        feed = {"x": np.full((2, 3, 6, 6), x, np.float32)}
        assert relative_error(run_exactly(after, feed)[0], run_exactly(before, feed)[0]) < 1e-13


def test_what_counts_on_a_range_says_so() -> None:
    graph = ir.from_proto(dead_relu())
    cast, conv, *_ = graph.graph
    change = PruneConstant(ranges={"x": (-0.5, 1)}).rewrite(conv)
    assert isinstance(change, Change)
    assert {value: (low.tolist(), high.tolist()) for value, (low, high) in change.within.items()} == {
        cast.outputs[0]: ([-0.5] * 3, [1] * 3)
    }


def test_bytes_are_bounded_without_a_declaration() -> None:
    before = dead_relu(-192, -190, 0, 1, 2, -999, dtype=TensorProto.UINT8)
    assert widths(pruned(before, PruneConstant(ranges={}))[1])[0] == 4  # 0.75 * 255 is 191.25
    assert widths(pruned(before, PruneConstant())[1])[0] == 6


def test_no_relu_is_dead_without_a_range() -> None:
    before = dead_relu()
    after, _ = pruned(before, PruneConstant())
    assert after.graph == before.graph


def test_a_relu_at_the_edge_of_rounding_stays() -> None:
    """0.25 * 3 - 0.75 is 0 in exact arithmetic; in floats, in some order, it may be more."""
    before = dead_relu(*[-0.75] * 6)
    _, graph = pruned(before, PruneConstant(ranges={"x": (0, 1)}))
    assert widths(graph)[0] == 6
