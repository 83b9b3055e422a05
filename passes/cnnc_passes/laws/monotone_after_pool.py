"""MaxPool(f(x)) => f(MaxPool(x)), f an increasing activation. Equal up to rounding (exact where f is piecewise linear).

The maximum of f is f of the maximum, if every window holds an element: of padding alone MaxPool makes -inf.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, has_one_reader, op_name, reading, same_shape
from cnnc_passes.windows import node_windows

__all__ = ["MonotoneAfterPool"]

_FUSED = frozenset({"Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})  # by one engine or another


class MonotoneAfterPool(Rewrite):
    """Apply the activation to what is left after pooling: 1/stride^2 of the elements.

    Leaves alone an activation that is not increasing, or where pooling leaves as many elements. Declines if the
    activation can run as part of the convolution before it, another node reads it, a slope that it has is negative
    or varies by position, the Indices are read, or a window may hold padding alone.
    """

    roots = frozenset({"MaxPool"})
    example = """
        g (float[N,2,4,4] x) => (float[N,2,2,2] y)
        { t = Tanh (x)  y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (t) }
    """

    def rewrite(self, pool: ir.Node) -> Change | Decline | None:
        """Answer for one MaxPool."""
        f = pool.inputs[0].producer() if pool.inputs[0] is not None else None
        x = f.inputs[0] if f is not None and op_name(f) in _INCREASING else None
        if f is None or x is None or same_shape(x, pool.outputs[0]):
            return None
        if not has_one_reader(f.outputs[0]):
            return Decline(f"another node reads the {f.op_type}")
        if not _INCREASING[f.op_type](f):
            return Decline(f"the {f.op_type} is not increasing, or not the same at every position")
        if f.op_type in _FUSED and _follows_convolution(x):
            return Decline(f"the {f.op_type} runs as part of the convolution before it")
        if any(output.uses() or output.is_graph_output() for output in pool.outputs[1:]):
            return Decline("the Indices are read")
        if _may_pool_padding(pool):
            return Decline("a window may hold padding alone")
        pooled = reading(pool, x)
        after = reading(f, pooled.outputs[0])
        return Change([f, pool], [pooled, after], {pool.outputs[0]: after.outputs[0]})


def _at_least(attribute: str, default: float, least: float = 0.0) -> Callable[[ir.Node], bool]:
    return lambda node: (node.attributes.get_float(attribute, default) or 0.0) >= least


def _always(_: ir.Node) -> bool:
    return True


def _prelu(node: ir.Node) -> bool:
    """One slope for every position of a channel, none negative."""
    slope, y = constant(node.inputs[1]), node.outputs[0]
    if slope is None or y.shape is None:
        return False
    spatial = slope.shape[-(len(y.shape) - 2) :]
    return bool(np.all(slope >= 0)) and all(size == 1 for size in spatial)


# With their attributes' defaults.
_INCREASING: dict[str, Callable[[ir.Node], bool]] = {
    **dict.fromkeys(("Clip", "Erf", "Exp", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"), _always),
    "Celu": _at_least("alpha", 1.0),
    "Elu": _at_least("alpha", 1.0),
    "HardSigmoid": _at_least("alpha", 0.2),
    "LeakyRelu": _at_least("alpha", 0.01),
    "PRelu": _prelu,
    "Selu": lambda node: _at_least("alpha", 1.67)(node) and _at_least("gamma", 1.05)(node),
    "ThresholdedRelu": _at_least("alpha", 1.0),
}


def _follows_convolution(x: ir.Value) -> bool:
    """True if a convolution, or the sum of one and a residual, computes `x` for the activation alone."""
    before = x.producer()
    if before is None or not has_one_reader(x):
        return False
    if op_name(before) == "Add":
        return any(value is not None and _follows_convolution(value) for value in before.inputs)
    return op_name(before) == "Conv"


def _may_pool_padding(pool: ir.Node) -> bool:
    """False if each window is one run of positions that reaches over the padding."""
    windows = node_windows(pool) or []
    padded = [w for w in windows if any(w.pads) or w.auto_pad in ("SAME_UPPER", "SAME_LOWER")]
    return any(w.dilation > 1 or max(w.pads) >= w.kernel for w in padded)
