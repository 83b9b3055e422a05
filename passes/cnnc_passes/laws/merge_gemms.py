"""Gemm(Gemm(x, W, b), V, c) => Gemm(x, W*V, b*V + c). Equal up to rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.linear import Linear, linear_before, linear_of
from cnnc_passes.rewrite import Change, Decline, Rewrite

__all__ = ["MergeGemms"]


class MergeGemms(Rewrite):
    """Make one matrix product of two with nothing between, where it is the cheaper.

    The first may be a MatMul (and Add) at rank 2; its input may be transposed.

    Declines if another node reads the first, one product takes no fewer MACs than two, a weight or bias is not
    constant, a bias is not per output, the second transposes the first's result, or a value does not fit the
    weight's type.
    """

    roots = frozenset({"Gemm"})
    example = """
        g (float[N,2] x) => (float[N,1] y)
        <float[2,2] w = {1,2,3,4}, float[2] b = {1,2}, float[2,1] v = {10,1}, float[1] c = {5}>
        { h = Gemm (x, w, b)  y = Gemm (h, v, c) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the second Gemm."""
        inner, outer = linear_before(node.inputs[0]), linear_of(node)
        if inner is None or outer is None:
            return None
        if isinstance(inner, Decline):
            return inner
        if isinstance(outer, Decline):
            return outer
        if node.attributes.get_int("transA", 0):
            return Decline("the result of the first Gemm is transposed")
        inputs, middle, outputs = inner.in_channels, inner.out_channels, outer.out_channels
        if inputs * outputs >= (inputs + outputs) * middle:
            return Decline(f"{inputs} x {outputs} MACs are not fewer than {inputs + outputs} x {middle}")
        first, second = _matrix(inner), _matrix(outer)
        weight = first @ second
        bias = inner.bias @ second + outer.bias
        attributes = {name: value for name, value in outer.attributes.items() if name != "alpha"}
        if "transA" in inner.attributes:
            attributes["transA"] = inner.attributes["transA"]
        merged = dataclasses.replace(outer, inputs=(inner.inputs[0], *outer.inputs[1:]), attributes=attributes)
        gemm = merged.with_constants(node.outputs[0], weight.T if outer.transposed else weight, bias)
        return gemm if isinstance(gemm, Decline) else Change([*inner.nodes, node], [gemm])


def _matrix(gemm: Linear) -> np.ndarray:
    """Alpha times the weight as (C_in, C_out), float64."""
    weight = gemm.weight.astype(np.float64)
    return gemm.alpha * (weight.T if gemm.transposed else weight)
