"""ReduceMean(x) over all spatial axes => GlobalAveragePool(x), then Flatten where keepdims=0. Equal up to rounding."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, constant

__all__ = ["ReduceToPool"]


class ReduceToPool(Rewrite):
    """Name a mean over H, W (or L, or D, H, W) as the pooling it is: engines keep their layout through it.

    Declines if the axes are not constant, the input's rank is unknown, or the type is not floating.
    """

    roots = frozenset({"ReduceMean"})
    example = """
        g (float[N,2,4,4] x) => (float[N,2] y) <int64[2] axes = {2,3}>
        { y = ReduceMean <keepdims = 0> (x, axes) }
    """

    def rewrite(self, mean: ir.Node) -> Change | Decline | None:
        """Answer for one ReduceMean."""
        x = mean.inputs[0]
        if x is None:
            return None
        axes = _axes(mean)
        if axes is None:
            return Decline("the axes are not constant")
        if x.shape is None:
            return Decline("the rank of the input is unknown")
        rank = len(x.shape)
        if rank < 3 or {axis % rank for axis in axes} != set(range(2, rank)):
            return None  # a mean over something else
        if x.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
            return Decline(f"pooling is not defined for {x.dtype}")
        pool = ir.node("GlobalAveragePool", [x], name=mean.name)
        if mean.attributes.get_int("keepdims", 1):
            return Change([mean], [pool])
        pool.outputs[0].type = x.type
        pool.outputs[0].shape = ir.Shape([x.shape[0], x.shape[1], *[1] * (rank - 2)])
        return Change([mean], [pool, ir.node("Flatten", [pool.outputs[0]], {"axis": 1})])


def _axes(mean: ir.Node) -> tuple[int, ...] | None:
    """The reduced axes, from the attribute (before opset 18) or the input; () where none are named."""
    if "axes" in mean.attributes:
        return tuple(mean.attributes["axes"].as_ints())
    if len(mean.inputs) < 2 or mean.inputs[1] is None:
        return ()
    axes = constant(mean.inputs[1])
    return None if axes is None else tuple(int(axis) for axis in axes.reshape(-1))
