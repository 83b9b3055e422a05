"""f(x) => x where f changes nothing: x*1, x-0, x/1, Pad by 0, MaxPool of 1x1, Concat of one, full Slice, ... Exact.

x + 0.0 is not among them: it turns -0.0 into 0.0, which a division can see; x + (-0.0) is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.clamp import clamp_bounds
from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, same_shape

__all__ = ["DropNoops"]


class DropNoops(Rewrite):
    """Remove a node whose output is its input, value for value, shape and type included.

    Declines if the node joins a graph input (or a constant, or another graph output) to a graph
    output: both names belong to the caller, so the node must stay.
    """

    roots = frozenset(
        {"Add", "AveragePool", "Cast", "CastLike", "Clip", "Concat", "Div", "Dropout", "Identity", "MaxPool", "Mul"}
        | {"Pad", "Pow", "Reshape", "Resize", "Slice", "Sub", "Sum", "Transpose"}
    )
    example = """
        g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float one = {1}>
        { r = Relu (x)  m = Mul (r, one)  y = Neg (m) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one node."""
        index = _passed_through(node)
        if index is None:
            return None
        x, y = node.inputs[index], node.outputs[0]
        assert x is not None
        if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            return Decline("a second output is read")
        if y.is_graph_output() and (x.is_graph_input() or x.is_initializer() or x.is_graph_output()):
            return Decline("it gives a graph output its name")
        return Change([node], [], {y: x})


def _passed_through(node: ir.Node) -> int | None:
    """Which input the node returns unchanged, or None."""
    if node.op_type in _NEUTRAL:
        return _neutral_side(node)
    unchanged = _UNCHANGED[node.op_type]
    return 0 if node.inputs[0] is not None and unchanged(node) else None


# x ∘ e = x: the neutral element, compared bit by bit, and the sides on which it may stand.
_NEUTRAL: dict[str, tuple[float, tuple[int, ...]]] = {
    "Add": (-0.0, (0, 1)),
    "Sub": (0.0, (1,)),
    "Mul": (1.0, (0, 1)),
    "Div": (1.0, (1,)),
    "Pow": (1.0, (1,)),
}


def _neutral_side(node: ir.Node) -> int | None:
    element, sides = _NEUTRAL[node.op_type]
    for side in sides:
        array, x = constant(node.inputs[side]), node.inputs[1 - side]
        if array is None or x is None or array.size == 0 or array.dtype.kind not in "fiu":
            continue
        neutral = np.asarray(element).astype(array.dtype)
        equal = np.all(array == neutral) and np.all(np.signbit(array) == np.signbit(neutral))
        if equal and _broadcasts_into(array.shape, x) and node.outputs[0].dtype == x.dtype:
            return 1 - side
    return None


def _broadcasts_into(shape: tuple[int, ...], x: ir.Value) -> bool:
    """True if combining with `shape` cannot change x's shape, symbolic axes included."""
    if x.shape is None or len(shape) > len(x.shape):
        return False
    tail = list(x.shape)[len(x.shape) - len(shape) :]
    return all(size == 1 or size == axis for size, axis in zip(shape, tail, strict=True))


def _same_type_and_shape(node: ir.Node) -> bool:
    x, y = node.inputs[0], node.outputs[0]
    return x is not None and x.dtype is not None and x.dtype == y.dtype and same_shape(x, y)


def _cast(node: ir.Node) -> bool:
    x = node.inputs[0]
    return x is not None and x.dtype is not None and x.dtype == node.attributes.get_int("to", -1)


def _cast_like(node: ir.Node) -> bool:
    x, like = node.inputs[:2]
    return x is not None and like is not None and x.dtype is not None and x.dtype == like.dtype


def _clip(node: ir.Node) -> bool:
    return clamp_bounds(node) == (-np.inf, np.inf)


def _concat(node: ir.Node) -> bool:
    return len(node.inputs) == 1


def _dropout(node: ir.Node) -> bool:
    if len(node.inputs) > 2 and node.inputs[2] is not None:  # training_mode, an input since opset 12
        training = constant(node.inputs[2])
        return training is not None and not bool(training.reshape(-1)[0])
    return True


def _pad(node: ir.Node) -> bool:
    if "pads" in node.attributes:
        pads = np.asarray(node.attributes["pads"].as_ints())
    else:
        array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if array is None:
            return False
        pads = array
    return not np.any(pads)


def _pool(node: ir.Node) -> bool:
    ones = [*node.attributes.get_ints("kernel_shape", [0]), *node.attributes.get_ints("strides", [1])]
    explicit = node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    return explicit and all(n == 1 for n in ones) and not any(node.attributes.get_ints("pads", []))


def _resize(node: ir.Node) -> bool:
    """Every axis keeps its size: all scales are 1, and no region of interest moves the grid."""
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return scales is not None and scales.size > 0 and bool(np.all(scales == 1))


def _slice(node: ir.Node) -> bool:
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.ones(1)
    return steps is not None and bool(np.all(steps == 1)) and _same_type_and_shape(node)


def _transpose(node: ir.Node) -> bool:
    permutation = node.attributes.get_ints("perm", [])
    return bool(permutation) and list(permutation) == sorted(permutation)


_UNCHANGED: dict[str, Callable[[ir.Node], bool]] = {
    "AveragePool": _pool,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Concat": _concat,
    "Dropout": _dropout,
    "Identity": lambda node: True,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": _same_type_and_shape,
    "Resize": _resize,
    "Slice": _slice,
    "Sum": _concat,
    "Transpose": _transpose,
}
