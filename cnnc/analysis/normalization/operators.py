"""A normalization operator -> what it averages over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.normalization.axes import axis_letters, channels_first, each, over
from cnnc.analysis.normalization.result import Normalization
from cnnc_passes.rewrite import op_name
from cnnc_passes.sizes import concrete_shape

__all__ = ["STORED", "grouped", "local_response", "normalization_of"]

STORED = "stored mean and variance of each channel: nothing is averaged at run time"

_Axes = Callable[[ir.Node, int], Iterable[int]]


def normalization_of(node: ir.Node, sizes: Mapping[str, int]) -> Normalization | None:
    """Of one operator by itself; None for any that normalizes nothing, or whose input's rank is not known.

    Args:
        node: with inferred shapes.
        sizes: values of the graph's open sizes.
    """
    op, x = op_name(node), node.inputs[0] if node.inputs else None
    if x is None or x.shape is None or len(x.shape) < 2:
        return None
    if op == "BatchNormalization" and not node.attributes.get_int("training_mode", 0):
        return Normalization(op, (), None, STORED)
    if op == "GroupNormalization":
        return grouped(x, node.attributes.get_int("num_groups", 0) or 0, sizes)
    if op == "LRN":
        alpha, beta, bias = (
            node.attributes.get_float(name, usual) or 0.0
            for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
        )
        return local_response(node.attributes.get_int("size", 1) or 1, alpha, beta, bias)
    if op not in _AXES:
        return None
    rank = len(x.shape)
    axes = tuple(sorted({axis % rank for axis in _AXES[op](node, rank)}))
    letters = _letters(op, x)
    text = f"{over(axes, letters, rank)}, {each(axes, letters, rank)}"
    if op == "RMSNormalization":
        text = f"root mean square, no mean is subtracted: {text}"
    if op == "LpNormalization":
        text = f"L{node.attributes.get_int('p', 2)} norm, no mean is subtracted: {text}"
    return Normalization(op, axes, _values(x, axes, sizes), text)


def grouped(x: ir.Value, groups: int, sizes: Mapping[str, int]) -> Normalization | None:
    """A GroupNormalization of `x`, (N, C, *spatial), in so many groups of channels; None if C is not known."""
    shape = concrete_shape(x, sizes)
    if shape is None or len(shape) < 2 or groups < 1 or shape[1] % groups:
        return None
    letters = channels_first(len(shape))
    size, spatial = shape[1] // groups, tuple(range(2, len(shape)))
    axes = spatial if size == 1 else (1, *spatial)
    if groups == 1:
        text = f"{over(axes, letters, len(shape))}, for each sample"
    elif size == 1:
        text = f"{over(axes, letters, len(shape))}, for each sample and channel"
    else:
        part = over(axes, letters, len(shape)).replace("over C", f"over {size} of {shape[1]} channels", 1)
        text = f"{part}, for each sample and each of {groups} groups"
    return Normalization("GroupNormalization", axes, size * math.prod(shape[2:]), text)


def local_response(size: int, alpha: float, beta: float, bias: float) -> Normalization:
    """Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012), section 3.3.

    ONNX and PyTorch divide the sum by `size`; the paper's alpha is theirs divided by it.
    """
    text = (
        f"x / ({bias:g} + {alpha:g}/{size} * s)^{beta:g}, s the sum of the squares of {size} neighboring channels "
        "(axis 1) at the same position; no mean is subtracted"
    )
    return Normalization("LRN", (1,), size, text)


def _letters(op: str, x: ir.Value) -> str | None:
    if op in ("BatchNormalization", "InstanceNormalization"):
        return channels_first(len(x.shape or ()))
    return axis_letters(x)


def _values(x: ir.Value, axes: Sequence[int], sizes: Mapping[str, int]) -> int | None:
    shape = concrete_shape(x, sizes)
    return None if shape is None else math.prod(shape[axis] for axis in axes)


def _from_axis(node: ir.Node, rank: int) -> Iterable[int]:
    return range((node.attributes.get_int("axis", -1) or 0) % rank, rank)


_AXES: dict[str, _Axes] = {
    "BatchNormalization": lambda _, rank: (0, *range(2, rank)),  # in training mode
    "InstanceNormalization": lambda _, rank: range(2, rank),
    "LayerNormalization": _from_axis,
    "RMSNormalization": _from_axis,
    "MeanVarianceNormalization": lambda node, _: node.attributes.get_ints("axes", (0, 2, 3)),
    "LpNormalization": lambda node, _: (node.attributes.get_int("axis", -1) or 0,),
}
