"""Matrix products, their biases and factors, and the transposes before them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cases.harness import TARGETS, check_proto, nodes_of, values
from tests.cases.normalization import double, normalize, statistics
from tests.contract.graphs import model, node

# --- onnxruntime #32418: a transpose that changes nothing, taken for one that turns the weight


@pytest.mark.parametrize("perm", [(0, 1), (1, 0)])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("side", ["weight", "input"])
def test_transpose_before_a_matrix_product(side: str, transposed: int, perm: tuple[int, int], tmp_path: Path) -> None:
    """The weight is square: a wrong turn keeps the shape."""
    w = values(5, 5)
    turn = node("Transpose", "w" if side == "weight" else "x", "t", perm=list(perm))
    inputs = "x t" if side == "weight" else "t w"
    nodes = [turn, node("Gemm", inputs, "y", **{"transB" if side == "weight" else "transA": transposed})]
    proto = model(nodes, {"x": (5, 5)}, constants={"w": w})

    def truth(x: torch.Tensor) -> torch.Tensor:
        turned = (double(w) if side == "weight" else x).permute(perm)
        turned = turned.T if transposed else turned
        return x @ turned if side == "weight" else turned @ double(w)

    check_proto(proto, truth, folder=tmp_path)


# --- OnnxSlim 4250b49: a bias or a rank that Gemm does not have


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bias", [(3, 1, 5), (1, 5), (5,), (3, 4, 5), (4, 5), (1,), ()])
def test_matrix_product_with_a_bias_of_another_rank(bias: tuple[int, ...], target: str, tmp_path: Path) -> None:
    w, b = values(6, 5), values(*bias)
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "y")]
    rank_3 = model(nodes, {"x": (3, 4, 6)}, constants={"w": w, "b": b})
    check_proto(rank_3, lambda x: x @ double(w) + double(b), folder=tmp_path, target=target)
    rank_2 = model(nodes, {"x": (4, 6)}, constants={"w": w, "b": b})
    check_proto(rank_2, lambda x: x @ double(w) + double(b), folder=tmp_path, target=target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (), None])
def test_normalization_after_a_product_with_factors(
    shape: tuple[int, ...] | None, transposed: int, target: str, tmp_path: Path
) -> None:
    constants = {"w": values(6, 5), **statistics(5)}
    if transposed:
        constants["w"] = np.ascontiguousarray(constants["w"].T)
    if shape is not None:
        constants["bias"] = values(*shape)
    gemm = node("Gemm", "x w" if shape is None else "x w bias", "c", alpha=0.5, beta=2.0, transB=transposed)
    proto = model([gemm, node("BatchNormalization", "c g b m v", "y")], {"x": ("n", 6)}, constants=constants)

    def truth(x: torch.Tensor) -> torch.Tensor:
        w = double(constants["w"])
        y = 0.5 * (x @ (w.T if transposed else w)) + (2.0 * double(constants["bias"]) if shape is not None else 0.0)
        return normalize(constants)(y.reshape(*y.shape, 1, 1)).reshape(y.shape)

    artifact = check_proto(proto, truth, folder=tmp_path, target=target)
    assert not nodes_of(artifact, "BatchNormalization")
