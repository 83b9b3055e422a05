"""Operator -> the shape of its (first) output, for the operators of a CNN; the rest is onnx's business."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.dims import UNKNOWN, Dim, Dims, broadcast, may_equal, product, quotient, same_size
from cnnc_passes.rewrite import constant
from cnnc_passes.shapes import output_size
from cnnc_passes.windows import groups, node_windows
from cnnc_runtime.errors import InvalidInputError

__all__ = ["RULES", "Contents"]

_TO_THE_END = 2**31 - 1  # what exporters write for `x[a:]`, or more

Contents = Callable[[ir.Value | None], Dims | None]
"""What is known of the numbers in a shape-like value: constants, or sizes that a Shape node read."""
Rule = Callable[[ir.Node, Sequence[Dims], Contents], Dims | None]
"""(node, shapes of its inputs, contents) -> dims; None where it cannot tell. Raises InvalidInputError."""


def _convolution(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    x, weight = shapes[0], shapes[1]
    windows, group = node_windows(node), groups(node)
    if windows is None:
        return None
    _require(len(x) == len(weight) == len(windows) + 2, f"an input of rank {len(x)}, a weight of rank {len(weight)}")
    transposed = node.op_type == "ConvTranspose"
    takes = weight[0] if transposed else weight[1] * group
    gives = weight[1] * group if transposed else weight[0]
    _require(may_equal(x[1], takes), f"the input has {x[1]} channels, but the weight and `group` take {takes}")
    _require(
        not isinstance(weight[0], int) or weight[0] % group == 0,
        f"{weight[0]} channels do not divide into {group} groups",
    )
    if len(shapes) > 2 and shapes[2]:
        _require(may_equal(shapes[2][0], gives), f"a bias of {shapes[2][0]} for {gives} channels")
    if transposed and "output_shape" in node.attributes:
        return [x[0], gives, *list(node.attributes["output_shape"].as_ints())[-len(windows) :]]
    return [x[0], gives, *map(output_size, x[2:], windows)]


def _pooling(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    windows, x = node_windows(node), shapes[0]
    assert windows is not None
    _require(len(x) == len(windows) + 2, f"an input of rank {len(x)} and a kernel of rank {len(windows)}")
    return [*x[:2], *map(output_size, x[2:], windows)]


def _global_pooling(_: ir.Node, shapes: Sequence[Dims], __: Contents) -> Dims | None:
    return [*shapes[0][:2], *[1] * (len(shapes[0]) - 2)]


def _batch_normalization(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    channels = shapes[0][1] if len(shapes[0]) > 1 else 1
    for value, shape in zip(node.inputs[1:], shapes[1:], strict=True):
        name = value.name if value is not None else None
        _require(not shape or may_equal(shape[0], channels), f"{channels} channels, but {name!r} is {list(shape)}")
    return shapes[0]


def _group_normalization(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    """Onnx infers it up to opset 20 only, where it is a function; from 21 on scale and shift are per channel."""
    x, group = shapes[0], node.attributes.get_int("num_groups", 1)
    _require(len(x) > 2, f"an input of rank {len(x)}")
    _require(not isinstance(x[1], int) or x[1] % group == 0, f"{x[1]} channels do not divide into {group} groups")
    for value, shape in zip(node.inputs[1:], shapes[1:], strict=True):
        name = value.name if value is not None else None
        fits = len(shape) == 1 and (may_equal(shape[0], x[1]) or shape[0] == group)
        _require(fits, f"{x[1]} channels in {group} groups, but {name!r} is {list(shape)}")
    return x


def _gemm(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    a, b = shapes[0], shapes[1]
    _require(len(a) == len(b) == 2, f"matrices of rank {len(a)} and {len(b)}; both must be 2")
    rows, inner = reversed(a) if node.attributes.get_int("transA", 0) else a
    inner_b, columns = reversed(b) if node.attributes.get_int("transB", 0) else b
    _require(may_equal(inner, inner_b), f"{inner} columns times {inner_b} rows")
    return [rows, columns]


def _matmul(_: ir.Node, shapes: Sequence[Dims], __: Contents) -> Dims | None:
    a, b = list(shapes[0]), list(shapes[1])
    _require(bool(a) and bool(b), "a scalar operand")
    left = [a.pop(-2)] if len(a) > 1 else []
    right = [b.pop()] if len(b) > 1 else []
    _require(may_equal(a[-1], b[-1]), f"{a[-1]} columns times {b[-1]} rows")
    return [*broadcast([a[:-1], b[:-1]]), *left, *right]


def _elementwise(_: ir.Node, shapes: Sequence[Dims], __: Contents) -> Dims | None:
    return broadcast(shapes)


def _concat(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    rank = len(shapes[0])
    axis = _axis(node.attributes.get_int("axis", 1) or 0, rank)
    _require(all(len(shape) == rank for shape in shapes), f"inputs of ranks {[len(shape) for shape in shapes]}")
    axes = enumerate(zip(*shapes, strict=True))
    return [functools.reduce(operator.add, sizes) if i == axis else same_size(sizes) for i, sizes in axes]


def _flatten(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims | None:
    rank = len(shapes[0])
    axis = node.attributes.get_int("axis", 1) or 0
    axis = axis if axis == rank else _axis(axis, rank)
    return [product(shapes[0][:axis]), product(shapes[0][axis:])]


def _reshape(node: ir.Node, shapes: Sequence[Dims], contents: Contents) -> Dims | None:
    target = contents(node.inputs[1])
    if target is None:
        length = shapes[1][0] if shapes[1] else None
        return [UNKNOWN] * length if isinstance(length, int) else None
    x, keep_zero = shapes[0], node.attributes.get_int("allowzero", 0)
    out = [x[i] if size == 0 and not keep_zero and i < len(x) else size for i, size in enumerate(target)]
    _require(out.count(-1) < 2, f"more than one -1 in {list(target)}")
    kept, named = list(x), [size for size in out if size != -1]
    for size in [size for size in named if not isinstance(size, int) and size.value is not None]:
        if size in kept:  # sums do not cancel by themselves once they are multiplied out
            kept.remove(size)
            named.remove(size)
    have, want = product(kept), product(named)
    if -1 in out:
        if isinstance(have, int) and isinstance(want, int):
            _require(want > 0 and have % want == 0, f"{have} elements do not reshape into {list(target)}")
        out[out.index(-1)] = quotient(have, want)
    elif isinstance(have, int) and isinstance(want, int):
        _require(have == want, f"{have} elements do not reshape into {list(target)}")
    return out


def _expand(node: ir.Node, shapes: Sequence[Dims], contents: Contents) -> Dims | None:
    target = contents(node.inputs[1])
    return None if target is None else broadcast([shapes[0], target])


def _pad(node: ir.Node, shapes: Sequence[Dims], contents: Contents) -> Dims | None:
    x = shapes[0]
    if "pads" in node.attributes:
        pads: Dims | None = node.attributes["pads"].as_ints()
    else:
        pads = contents(node.inputs[1])
    axes: Dims | None = range(len(x))
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = contents(node.inputs[3])
    if pads is None or axes is None:
        return [UNKNOWN] * len(x)
    _require(len(pads) == 2 * len(axes), f"{len(pads)} pads for {len(axes)} axes")
    out = list(x)
    for axis, begin, end in zip(axes, pads, pads[len(axes) :], strict=False):
        if isinstance(axis, int):
            out[_axis(axis, len(x))] = x[axis] + begin + end
    return out


def _resize(node: ir.Node, shapes: Sequence[Dims], contents: Contents) -> Dims | None:
    """By scales, or to sizes that a Shape node was read for (`F.interpolate(x, y.shape[2:])`); the rest is onnx's."""
    crops = node.attributes.get_string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    x = shapes[0]
    axes = [_axis(axis, len(x)) for axis in node.attributes.get_ints("axes", range(len(x)))]
    given = node.inputs[3] if len(node.inputs) > 3 else None
    sizes = contents(given) if given is not None else _scaled(node, [x[axis] for axis in axes])
    if crops or policy != "stretch" or sizes is None or len(sizes) != len(axes):
        raise ValueError("left to onnx")
    resized = dict(zip(axes, sizes, strict=True))
    return [resized.get(axis, size) for axis, size in enumerate(x)]


def _scaled(resize: ir.Node, x: Dims) -> Dims | None:
    """floor(size * scale), in float32 as onnx and the engine have it; of a symbol where the scale is whole."""
    scales = constant(resize.inputs[1:3][-1]) if len(resize.inputs) > 1 else None  # the second before opset 11
    if scales is None or scales.size != len(x) or not np.all((scales > 0) & np.isfinite(scales)):
        return None
    sizes: list[Dim] = []
    for size, scale in zip(x, scales.reshape(-1).astype(np.float32), strict=True):
        if isinstance(size, int):
            sizes.append(math.floor(np.float32(size) * scale))
        else:
            sizes.append(size * int(scale) if scale % 1 == 0 else UNKNOWN)
    return sizes


def _slice(node: ir.Node, shapes: Sequence[Dims], contents: Contents) -> Dims | None:
    """Of an open axis what is known: from a start that is not counted from the end, to the end."""
    if len(node.inputs) < 3:  # before opset 10 the bounds are attributes
        raise ValueError("left to onnx")
    out = list(shapes[0])
    given = [contents(value) for value in node.inputs[1:]]
    if any(one is None for one in given):
        raise ValueError("left to onnx")
    starts, ends, *rest = ([size for size in one or () if isinstance(size, int)] for one in given)
    axes = rest[0] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError("left to onnx")
    for start, end, place, step in zip(starts, ends, axes, steps, strict=True):
        axis = _axis(place, len(out))
        size = out[axis]
        if isinstance(size, int):
            out[axis] = len(range(size)[start:end:step])
        elif start >= 0 and step > 0 and end >= _TO_THE_END:
            out[axis] = (size - start - 1) // step + 1  # spelled as the window of a convolution is
        else:
            out[axis] = UNKNOWN
    return out


def _axis(axis: int, rank: int) -> int:
    _require(-rank <= axis < rank, f"axis {axis} of a value of rank {rank}")
    return axis % rank


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise InvalidInputError(otherwise)


_BROADCASTING = (
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Mean", "Sum", "PRelu", "Where", "And", "Or", "Xor"),
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
)
_UNARY = (  # of the first input's shape and type
    *("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "Clip", "HardSigmoid", "HardSwish", "Softplus"),
    *("Erf", "Exp", "Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Floor", "Ceil", "Round", "Identity"),
)

RULES: dict[str, Rule] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "com.microsoft::FusedConv": _convolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "LpPool": _pooling,
    "GlobalAveragePool": _global_pooling,
    "GlobalMaxPool": _global_pooling,
    "GlobalLpPool": _global_pooling,
    "BatchNormalization": _batch_normalization,
    "GroupNormalization": _group_normalization,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Expand": _expand,
    "Pad": _pad,
    "Resize": _resize,
    "Slice": _slice,
    **dict.fromkeys(_BROADCASTING, _elementwise),
    **dict.fromkeys(_UNARY, lambda node, shapes, contents: list(shapes[0])),
}
