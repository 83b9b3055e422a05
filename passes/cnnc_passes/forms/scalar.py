"""A value as scale*base + shift with two numbers, through Add, Sub, Mul, Div and Neg, as activations are spelled.

`affine.py` has the same for channels, where the two are arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import onnx_ir as ir

from cnnc_passes.rewrite import constant, is_stored, op_name

__all__ = ["ScalarAffine", "scalar_affines"]


class ScalarAffine(NamedTuple):
    """scale*base + shift, computed by `nodes`, the last one first."""

    base: ir.Value
    scale: float
    shift: float
    nodes: tuple[ir.Node, ...]


def scalar_affines(value: ir.Value) -> Iterator[ScalarAffine]:
    """Every reading of `value` as such: as itself first, then with one node more each time."""
    whole: ScalarAffine | None = ScalarAffine(value, 1.0, 0.0, ())
    while whole is not None:
        yield whole
        step = _step(whole.base.producer())
        whole = step and ScalarAffine(
            step.base, whole.scale * step.scale, whole.scale * step.shift + whole.shift, whole.nodes + step.nodes
        )


def _step(node: ir.Node | None) -> ScalarAffine | None:
    if node is None or op_name(node) not in ("Add", "Div", "Mul", "Neg", "Sub") or node.inputs[0] is None:
        return None
    if node.op_type == "Neg":
        return ScalarAffine(node.inputs[0], -1.0, 0.0, (node,))
    side = next((index for index in (1, 0) if is_stored(node.inputs[index])), None)
    array = constant(node.inputs[side]) if side is not None else None
    x = node.inputs[1 - side] if side is not None else None
    if array is None or array.size != 1 or x is None or is_stored(x):
        return None
    number = float(array.reshape(-1)[0])
    if node.op_type == "Add":
        return ScalarAffine(x, 1.0, number, (node,))
    if node.op_type == "Sub":
        return ScalarAffine(x, 1.0, -number, (node,)) if side == 1 else ScalarAffine(x, -1.0, number, (node,))
    if node.op_type == "Mul":
        return ScalarAffine(x, number, 0.0, (node,))
    return ScalarAffine(x, 1 / number, 0.0, (node,)) if side == 1 and number else None
