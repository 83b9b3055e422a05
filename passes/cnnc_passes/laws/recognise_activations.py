"""x*clip(x/6 + 1/2, 0, 1) => HardSwish(x); x*(1 + erf(x/sqrt(2)))/2 => Gelu(x). Equal up to rounding.

However it is spelled: with HardSigmoid, or Clip to 0..6, with the numbers before or after. Any other numbers stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.clamp import clamp_bounds
from cnnc_passes.forms.scalar import ScalarAffine, scalar_affines
from cnnc_passes.rewrite import Change, Decline, Rewrite, is_stored, op_name, opset, producer, same_shape

__all__ = ["RecogniseActivations"]

_GATES = ("Clip", "Erf", "HardSigmoid")
_SINCE = {"HardSwish": 14, "Gelu": 20}
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class RecogniseActivations(Rewrite):
    """Name HardSwish and Gelu where they are spelled out, for engines that have a kernel for them.

    For the target `portable`: onnxruntime's CPU provider spells HardSwish out again. x*Sigmoid(x) has no name
    before opset 24, and stays.

    Declines if another node reads a step of the activation, the opset has no such operator (HardSwish from 14 on,
    Gelu from 20), or the result is not known to have the shape of x.
    """

    roots = frozenset({"Div", "Mul"})
    example = """
        g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float three = {3}, float zero = {0}, float six = {6}>
        {
            a = Add (x, three)
            gate = Clip (a, zero, six)
            m = Mul (x, gate)
            y = Div (m, six)
        }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the last node of the spelling."""
        for name, x, steps in _spellings(node):
            inner = [step for step in dict.fromkeys(steps) if step is not node]
            known = {node, *inner}
            outputs = [step.outputs[0] for step in inner]
            if any(
                output.is_graph_output() or any(use.node not in known for use in output.uses()) for output in outputs
            ):
                return Decline(f"another node reads a step of the {name}")
            if opset(node) < _SINCE[name]:
                return Decline(f"{name} is an operator from opset {_SINCE[name]} on")
            if not same_shape(x, node.outputs[0]):
                return Decline("the result is not known to have the shape of x")
            metadata = dict(node.metadata_props)
            return Change([*inner, node], [ir.node(name, [x], name=node.name, metadata_props=metadata)])
        return None


def _spellings(node: ir.Node) -> Iterator[tuple[str, ir.Value, tuple[ir.Node, ...]]]:
    """(operator, x, nodes) where `node` ends a product of x and a gate of x that has a name."""
    product = next((whole for whole in scalar_affines(node.outputs[0]) if _is_product(whole.base)), None)
    multiply = producer(product.base, "Mul") if product is not None else None
    if product is None or multiply is None or product.shift:
        return
    for left, right in (multiply.inputs, reversed(multiply.inputs)):
        assert left is not None and right is not None
        gate = next((whole for whole in scalar_affines(right) if producer(whole.base, *_GATES)), None)
        core = producer(gate.base, *_GATES) if gate is not None else None
        if gate is None or core is None or core.inputs[0] is None:
            continue
        for inner in scalar_affines(core.inputs[0]):
            for x in scalar_affines(left):
                if x.base is inner.base and not x.shift and x.base.dtype in _FLOATS:
                    outer = product.scale * x.scale
                    name = _named(core, inner, outer * gate.scale, outer * gate.shift, x.base.dtype.numpy())
                    if name:
                        steps = (*product.nodes, multiply, *gate.nodes, core, *inner.nodes, *x.nodes)
                        yield name, x.base, steps


def _is_product(value: ir.Value) -> bool:
    """True for a Mul of two results."""
    node = producer(value, "Mul")
    return node is not None and not any(is_stored(operand) for operand in node.inputs)


def _named(core: ir.Node, inner: ScalarAffine, scale: float, shift: float, dtype: np.dtype) -> str:
    """The operator that x * (scale*core(inner) + shift) is; empty if none."""
    a, b = inner.scale, inner.shift
    if op_name(core) == "Erf":
        name, numbers, wanted = "Gelu", (scale, shift, a, b), (0.5, 0.5, math.sqrt(0.5), 0.0)
    else:
        low, high = clamp_bounds(core) or (math.nan, math.nan) if op_name(core) == "Clip" else (0.0, 1.0)
        if op_name(core) == "HardSigmoid":
            alpha = core.attributes.get_float("alpha", 0.2) or 0.0
            a, b = alpha * a, alpha * b + (core.attributes.get_float("beta", 0.5) or 0.0)
        name, wanted = "HardSwish", (1 / 6, 0.5, 0.0, 1.0)
        numbers = (scale * a, scale * b + shift, scale * low + shift, scale * high + shift)
    limit = 2 * float(np.finfo(dtype).eps)  # two constants, rounded
    return name if np.allclose(numbers, wanted, rtol=limit, atol=limit) else ""
