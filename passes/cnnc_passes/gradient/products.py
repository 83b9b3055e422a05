"""g -> g B^T and A^T g: the matrix products."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step

__all__ = ["PRODUCTS"]


def gemm(s: Step) -> ir.Value:
    """Gemm: dA' = alpha * g B'^T, dB' = alpha * A'^T g, dC = beta * g; A' and B' are A and B as transposed."""
    if s.index == 2:
        return s.sum_to(s.times(s.g, s.attribute("beta", 1.0)), s.x)
    a, b, g = s.input(0), s.input(1), s.full(s.g, s.y)
    flip_a, flip_b = bool(s.integer("transA", 0)), bool(s.integer("transB", 0))
    if s.index == 0:
        left, right, trans_a, trans_b = (b, g, flip_b, True) if flip_a else (g, b, False, not flip_b)
    else:
        left, right, trans_a, trans_b = (g, a, True, flip_a) if flip_b else (a, g, not flip_a, False)
    alpha = s.attribute("alpha", 1.0)
    return s.op("Gemm", left, right, like=s.x, alpha=alpha, transA=int(trans_a), transB=int(trans_b))


def matmul(s: Step) -> ir.Value:
    """MatMul: dA = g B^T, dB = A^T g, summed over the axes along which an operand was broadcast."""
    a, b, g = s.input(0), s.input(1), s.full(s.g, s.y)
    if len(s.dims(a)) < 2 or len(s.dims(b)) < 2:
        s.refuse("an operand is a vector")
    product = s.op("MatMul", g, _transposed(s, b)) if s.index == 0 else s.op("MatMul", _transposed(s, a), g)
    return s.sum_to(product, s.x, s.dims(product))


def _transposed(s: Step, matrices: ir.Value) -> ir.Value:
    rank = len(s.dims(matrices))
    return s.op("Transpose", matrices, perm=[*range(rank - 2), rank - 1, rank - 2])


PRODUCTS: dict[str, Rule] = {"Gemm": gemm, "MatMul": matmul}
