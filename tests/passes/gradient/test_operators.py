"""Rules for graphs that the exporter does not write, ONNX files' own, against torch.autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from tests.contract import graphs
from tests.contract.graphs import node
from tests.passes.gradient.harness import (
    ENGINE_LIMIT,
    EXACT_LIMIT,
    Formula,
    deviation,
    graph_deviation,
    run_exactly,
    torch_gradient,
    with_gradient,
)

rng = np.random.default_rng(5)
A, B, C = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (4, 5), (5,)))
MATRICES = rng.standard_normal((2, 5, 3)).astype(np.float32)
SCALE, SHIFT = (rng.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(2))


def t(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).double()


def gemm(left: np.ndarray, right: np.ndarray, wrt: str, trans_a: int, trans_b: int) -> tuple[Any, ...]:
    """alpha*A'B' + beta*C, of A, B or C."""
    arrays = {"a": left.T if trans_a else left, "b": right.T if trans_b else right, "c": C}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def formula(x: torch.Tensor) -> torch.Tensor:
        a, b, c = ({name: t(array) for name, array in arrays.items()} | {wrt: x}).values()
        return 0.5 * (a.T if trans_a else a) @ (b.T if trans_b else b) + 2 * c

    made = node("Gemm", "a b c", "y", alpha=0.5, beta=2.0, transA=trans_a, transB=trans_b)
    return [made], arrays, {}, formula, wrt


@pytest.mark.parametrize("wrt", ["a", "b", "c"])
@pytest.mark.parametrize("trans", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm(wrt: str, trans: tuple[int, int]) -> None:
    nodes, arrays, constants, formula, wrt = gemm(A, B, wrt, *trans)
    check(nodes, arrays, constants, formula, wrt)


X4 = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
X3 = rng.standard_normal((2, 4, 5)).astype(np.float32)
AXES = np.array([2, 3])
CASES: dict[str, tuple[list[onnx.NodeProto], Mapping[str, np.ndarray], Mapping[str, np.ndarray], Formula, str]] = {
    "MatMul, left": ([node("MatMul", "x b", "y")], {"x": X3, "b": MATRICES}, {}, lambda x: x @ t(MATRICES), "x"),
    "MatMul, right": ([node("MatMul", "a x", "y")], {"a": X3, "x": MATRICES}, {}, lambda x: t(X3) @ x, "x"),
    "MatMul, spread": ([node("MatMul", "a x", "y")], {"a": X3, "x": B.T.copy()}, {}, lambda x: t(X3) @ x, "x"),
    "LRN": (
        [node("LRN", "x", "y", size=3, alpha=0.3, beta=0.7, bias=1.5)], {"x": X4}, {},
        lambda x: F.local_response_norm(x, 3, 0.3, 0.7, 1.5), "x",
    ),
    "GlobalAveragePool": ([node("GlobalAveragePool", "x", "y")], {"x": X4}, {}, lambda x: x.mean((2, 3), True), "x"),
    "GlobalMaxPool": (
        [node("GlobalMaxPool", "x", "y")], {"x": np.round(X4)}, {}, lambda x: F.adaptive_max_pool2d(x, 1), "x"
    ),
    "InstanceNormalization, 3-D": (
        [node("InstanceNormalization", "x s t", "y")], {"x": X3}, {"s": SCALE[:4], "t": SHIFT[:4]},
        lambda x: F.instance_norm(x, None, None, t(SCALE[:4]), t(SHIFT[:4])), "x",
    ),
    "ThresholdedRelu": (
        [node("ThresholdedRelu", "x", "y", alpha=0.5)], {"x": X4}, {}, lambda x: torch.where(x > 0.5, x, 0), "x"
    ),
    "LeakyRelu that falls": (
        [node("LeakyRelu", "x", "y", alpha=-0.5)], {"x": X4}, {}, lambda x: F.leaky_relu(x, -0.5), "x"
    ),
    "PRelu's slope": (
        [node("PRelu", "a x", "y")], {"a": X4, "x": SCALE[:6].reshape(6, 1, 1)}, {},
        lambda x: F.prelu(t(X4), x.reshape(6)), "x",
    ),
    "Mean": ([node("Mean", "x a x", "y")], {"x": X4, "a": X4}, {}, lambda x: (2 * x + t(X4)) / 3, "x"),
    "Pow's exponent": (
        [node("Pow", "a x", "y")], {"a": np.abs(X4) + 0.5, "x": SCALE[:5]}, {}, lambda x: t(np.abs(X4) + 0.5) ** x, "x"
    ),
    "Pow by an array": ([node("Pow", "x a", "y")], {"x": np.abs(X4) + 0.5, "a": X4}, {}, lambda x: x ** t(X4), "x"),
    "Clip without bounds": ([node("Clip", "x", "y")], {"x": X4}, {}, lambda x: x * 1, "x"),
    "ReduceL2, zeros": (
        [node("ReduceL2", "x a", "y")], {"x": np.zeros_like(X4)}, {"a": AXES},
        lambda x: torch.norm(x, dim=(2, 3), keepdim=True), "x",
    ),
    "ReduceSumSquare": (
        [node("ReduceSumSquare", "x a", "y")], {"x": X4}, {"a": AXES}, lambda x: (x * x).sum((2, 3), True), "x"
    ),
    "ReduceMean of everything": (
        [node("ReduceMean", "x", "y", keepdims=0)], {"x": X4}, {}, lambda x: x.mean(), "x"
    ),
    "ReduceSum of nothing": (
        [node("ReduceSum", "x", "y", noop_with_empty_axes=1)], {"x": X4}, {}, lambda x: x * 1, "x"
    ),
    "Squeeze without axes": (
        [node("Unsqueeze", "x a", "u"), node("Squeeze", "u", "y")], {"x": X4[:, :1, :, :1] * 1}, {"a": np.array([0])},
        lambda x: x.squeeze(), "x",
    ),
    "SpaceToDepth": (
        [node("SpaceToDepth", "x", "s", blocksize=2), node("DepthToSpace", "s", "y", blocksize=2)],
        {"x": X4[..., :4].copy()}, {}, lambda x: x * 1, "x",
    ),
    "Slice from the end, open": (
        [node("Slice", "x s e a", "y")], {"x": X4}, {"s": np.array([1, -3]), "e": np.array([-1, 2**63 - 1]), "a": AXES},
        lambda x: x[:, :, 1:-1, -3:], "x",
    ),
    "Gather of a vector": (
        [node("Flatten", "x", "f", axis=0), node("Squeeze", "f o", "v"), node("Gather", "v i", "y")],
        {"x": X3}, {"o": np.array([0]), "i": np.array([[0, 39, -1], [5, 5, 5]])},
        lambda x: x.reshape(-1)[torch.tensor([[0, 39, -1], [5, 5, 5]])], "x",
    ),
    "GatherElements": (
        [node("GatherElements", "x i", "y", axis=1)], {"x": X3}, {"i": np.tile([[0], [3], [0]], (2, 1, 5))},
        lambda x: torch.gather(x, 1, torch.tensor([[0], [3], [0]]).expand(2, 3, 5)), "x",
    ),
    "Tile": ([node("Tile", "x r", "y")], {"x": X3}, {"r": np.array([1, 2, 3])}, lambda x: x.repeat(1, 2, 3), "x"),
    "Mul by a square of itself": (
        [node("Mul", "x x", "s"), node("Mul", "s x", "y")], {"x": X3}, {}, lambda x: x**3, "x"
    ),
    "CastLike and Dropout": (
        [node("CastLike", "x x", "c"), node("Dropout", "c", "y")], {"x": X3}, {}, lambda x: x * 1, "x"
    ),
    "Sum of three": (
        [node("Relu", "x", "r"), node("Exp", "x", "e"), node("Sum", "r e x", "y")],
        {"x": X3}, {}, lambda x: torch.relu(x) + torch.exp(x) + x, "x",
    ),
}  # fmt: skip


def check(
    nodes: list[onnx.NodeProto],
    arrays: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    formula: Formula,
    wrt: str,
) -> None:
    proto = graphs.model(nodes, {name: array.shape for name, array in arrays.items()}, constants=constants)
    on_engine, exact = graph_deviation(proto, formula, arrays, wrt)
    assert on_engine <= ENGINE_LIMIT
    assert exact <= EXACT_LIMIT


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_operator(case: tuple[Any, ...]) -> None:
    check(*case)


def test_group_normalization() -> None:
    """Of opset 21, with a scale for each channel; below, the operator's scale was for each group."""
    made = node("GroupNormalization", "x s t", "y", num_groups=3)
    proto = graphs.model([made], {"x": ["n", 6, 4, 5]}, constants={"s": SCALE, "t": SHIFT}, opset=21)
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, ["n", 6, 4, 5]))
    on_engine, exact = graph_deviation(proto, lambda x: F.group_norm(x, 3, t(SCALE), t(SHIFT)), {"x": X4})
    assert on_engine <= ENGINE_LIMIT
    assert exact <= EXACT_LIMIT


def test_lrn_of_an_even_size_reaches_one_channel_further_up() -> None:
    """From c - 1 to c + 2; onnxruntime has only odd sizes."""
    proto = graphs.model([node("LRN", "x", "y", size=4, alpha=0.4, beta=0.75)], {"x": ["n", 6, 4, 5]})
    model = ir.from_proto(proto)
    with_gradient(model, model.graph.inputs[0])

    def formula(x: torch.Tensor) -> torch.Tensor:
        return x / (1 + 0.1 * F.pad(x * x, (0, 0, 0, 0, 1, 2)).unfold(1, 4, 1).sum(-1)) ** 0.75

    expected, form = torch_gradient(formula, torch.from_numpy(X4))
    assert deviation(run_exactly(model, {"x": X4, "seed": form}), expected) <= EXACT_LIMIT


def test_slice_of_an_open_axis() -> None:
    made = node("Slice", "x s e a", "y")
    bounds = {"s": np.array([1, 0]), "e": np.array([-1, 2**63 - 1]), "a": AXES}
    proto = graphs.model([made], {"x": ["n", 6, "h", "w"]}, constants=bounds)
    on_engine, exact = graph_deviation(proto, lambda x: x[:, :, 1:-1], {"x": X4})
    assert on_engine <= ENGINE_LIMIT
    assert exact <= EXACT_LIMIT


@pytest.mark.parametrize("mode", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("nearest_mode", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil", None])
def test_resize_is_the_transpose_of_the_engines_own(mode: str, nearest_mode: str | None) -> None:
    """<Resize(x), g> = <x, Resize^T(g)>, each computed by the engine; None: linear."""
    modes = {"mode": "linear"} if nearest_mode is None else {"mode": "nearest", "nearest_mode": nearest_mode}
    for sizes in ((7, 11), (3, 2), (8, 10), (4, 1)):
        made = node("Resize", "x _ _ z", "y", coordinate_transformation_mode=mode, **modes)
        proto = graphs.model([made], {"x": [2, 6, 4, 5]}, constants={"z": np.array([2, 6, *sizes])})
        basis = np.eye(20, dtype=np.float32).reshape(20, 1, 4, 5)
        rows = graphs.model([made], {"x": [20, 1, 4, 5]}, constants={"z": np.array([20, 1, *sizes])})
        matrix = t(graphs.run_on_engine(rows, {"x": basis})[0].reshape(20, -1))  # (elements of x, of y)
        found = graph_deviation(proto, lambda x: (x.flatten(2) @ matrix).unflatten(2, sizes), {"x": X4})  # noqa: B023
        assert found[0] <= ENGINE_LIMIT, sizes
