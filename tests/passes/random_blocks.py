"""The blocks of random CNNs: each adds a few nodes that read one map, and answers the map that they make."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from tests.passes.random_builder import (
    Builder,
    Map,
    activation,
    affine,
    batchnorm,
    conv,
    divisors,
    pointwise,
    pooling,
    same,
    window,
)

__all__ = ["BLOCKS"]

_END = 2**63 - 1


def convolution(b: Builder, x: Map) -> Map:
    """Conv, maps per channel, activation."""
    x = conv(b, x)
    for _ in range(b.pick(1, 0, 2)):
        x = affine(b, x)
    return activation(b, x) if b.pick(True, False) else x


def preactivation(b: Builder, x: Map) -> Map:
    """Maps per channel before a Conv."""
    for _ in range(b.pick(1, 2)):
        x = affine(b, x)
    return conv(b, activation(b, x) if b.sometimes() else x)


def residual(b: Builder, x: Map) -> Map:
    y = conv(b, x, x.channels, same(b, x.size, b.pick(3, 1), dilation=b.pick(1, 1, 2)))
    if b.pick(True, False):
        y = batchnorm(b, y)
    total = x._replace(name=b.op(b.pick("Add", "Add", "Sum"), *b.pick((y, x), (x, y))))
    return activation(b, total)


def parallel(b: Builder, x: Map) -> Map:
    """Branches of one source, summed: RepVGG, MobileOne, ACNet."""
    out, stride = b.pick(x.channels, 4), b.pick(1, 1, 2)
    kinds = ["Conv", "Conv", "pointwise", *(["pool"] if out == x.channels else [])]
    kinds += ["affine", "identity"] if out == x.channels and stride == 1 else []
    terms = [conv(b, x, out, same(b, x.size, 3, stride, b.pick(1, 1, 2)))]
    for kind in [b.pick(*kinds) for _ in range(b.pick(1, 2, 3))]:
        if kind == "identity":
            terms.append(x)
        elif kind == "affine":
            terms.append(affine(b, x))
        elif kind == "pool":
            at = same(b, x.size, 3, stride)
            name = b.op("AveragePool", x, count_include_pad=b.pick(1, 1, 0), **at.attributes(b))
            terms.append(Map(name, out, at.size))
        else:
            terms.append(conv(b, x, out, same(b, x.size, 1 if kind == "pointwise" else b.pick(3, 5), stride)))
    if b.sometimes():
        return terms[0]._replace(name=b.op("Sum", *terms))
    total = terms[0]
    for term in terms[1:]:
        total = total._replace(name=b.op("Add", *b.pick((total, term), (term, total))))
    return activation(b, total) if b.sometimes() else total


def shuffle(b: Builder, x: Map) -> Map:
    b.is_open = False
    groups = b.pick(*divisors(x.channels)[-2:])
    split = b.op("Reshape", x, np.array([-1, groups, x.channels // groups, *x.size]))
    swapped = b.op("Transpose", split, perm=[0, 2, 1, *range(3, b.rank + 3)])
    return x._replace(name=b.op("Reshape", swapped, np.array([-1, x.channels, *x.size])))


def concatenated(b: Builder, x: Map) -> Map:
    """Inception, DenseNet."""
    branches = [conv(b, x, at=same(b, x.size, 3)), x if b.pick(True, False) else pointwise(b, x)]
    branches = [activation(b, branch) if b.pick(True, False) else branch for branch in branches]
    joined = b.op("Concat", *branches, axis=b.pick(1, -1 - b.rank))
    return Map(joined, sum(branch.channels for branch in branches), x.size)


def halved(b: Builder, x: Map) -> Map:
    """Split into two that part and meet again (ShuffleNet v2), or a Slice that leaves channels out."""
    if x.channels < 2:
        return x
    first = b.pick(*range(1, x.channels))
    if b.sometimes(2):
        cut = b.pick((0, first), (x.channels - first, b.pick(x.channels, _END)))
        name = b.op("Slice", x, np.array(cut[:1]), np.array(cut[1:]), np.array([1]))
        return Map(name, first, x.size)
    left, right = b.ops("Split", x, np.array([first, x.channels - first]), outputs=2, axis=1)
    other = conv(b, Map(right, x.channels - first, x.size), at=same(b, x.size, 3))
    if b.sometimes(4):
        return other
    return Map(b.op("Concat", left, other, axis=1), first + other.channels, x.size)


def padded(b: Builder, x: Map) -> Map:
    """Pad, then what pads itself."""
    op = b.pick("Conv", "MaxPool", "AveragePool")
    if op == "MaxPool" and b.pick(True, False):
        x = activation(b, x)
    wide = x
    value = b.pick(0.0, 0.0, -math.inf if op == "MaxPool" else 0.0, 0.5)
    mode = b.pick("constant", "constant", "constant", "edge")
    for _ in range(b.pick(1, 1, 2)):
        begin, end = b.per_axis(1, 0, 2), b.per_axis(1, 0, 2)
        filled = [np.array(value)] if mode == "constant" else []
        name = b.op("Pad", wide, np.array([0, 0, *begin, 0, 0, *end]), *filled, mode=mode)
        wide = Map(name, x.channels, tuple(n + p + q for n, p, q in zip(wide.size, begin, end, strict=True)))
    return conv(b, wide) if op == "Conv" else pooling(b, wide, op)


def pooled_after(b: Builder, x: Map) -> Map:
    """What may change places with a pooling: a pointwise Conv, or an activation of no Conv's result."""
    if b.pick(True, False):
        return pooling(b, pointwise(b, x), "AveragePool")
    return pooling(b, activation(b, x if b.pick(True, False) else affine(b, x)), "MaxPool")


def strided_readers(b: Builder, x: Map) -> Map:
    """A stage's end in ResNet v1: a block's first 1x1 and its projection take every second position."""
    y = conv(b, x, x.channels, same(b, x.size, 3) if b.pick(True, False) else window(b, x.size))
    for kind in b.pick("sr", "br", "r", "b", ""):
        if kind == "s" and y.size == x.size:
            y = y._replace(name=b.op("Add", y, x))
        elif kind == "b":
            y = affine(b, y)
        elif kind == "r":
            y = activation(b, y)
    stride, end = b.pick(2, 2, 3), b.pick("projection", "Slice", "Conv", "MaxPool")
    left = same(b, y.size, 1, stride)
    if end == "Slice":
        b.is_open = False  # nobody infers every second position of an open size
        axes = list(range(2, b.rank + 2))
        limits = ([0] * b.rank, [_END] * b.rank, axes, [stride] * b.rank)
        return Map(b.op("Slice", y, *map(np.array, limits)), y.channels, left.size)
    if end == "MaxPool":
        return Map(b.op("MaxPool", y, kernel_shape=left.kernel, strides=left.strides), y.channels, left.size)
    first = pointwise(b, y, 0, stride)
    if end == "Conv":
        return first
    inner = conv(b, activation(b, first), at=same(b, left.size, 3))
    other = pointwise(b, y, inner.channels, stride)
    return activation(b, inner._replace(name=b.op("Add", inner, other)))


def resized(b: Builder, x: Map) -> Map:
    """Resize, then mostly a 1x1 Conv."""
    mode = b.pick("nearest", "linear", *(["cubic"] if b.rank == 2 else []))
    factor = b.pick(2, 3) if math.prod(x.size) < 100 else 1
    size = tuple(n * factor for n in x.size)
    how = b.pick("scales", "scales", "axes", "sizes")
    more = {"coordinate_transformation_mode": b.pick("half_pixel", "asymmetric")} if mode != "cubic" else {}
    if how == "scales":
        name = b.op("Resize", x, None, np.array([1.0, 1, *[factor] * b.rank]), mode=mode, **more)
    else:
        b.is_open = False
        if how == "axes":
            name = b.op("Resize", x, None, None, np.array(size), axes=[*range(2, b.rank + 2)], mode=mode, **more)
        else:
            sizes = b.op("Concat", b.op("Shape", x, end=2), np.array(size), axis=0)
            name = b.op("Resize", x, None, None, sizes, mode=mode, **more)
    y = Map(name, x.channels, size)
    return pointwise(b, y, b.pick(2, 3, x.channels)) if b.pick(True, True, False) else y


def serial(b: Builder, x: Map) -> Map:
    """Two convolutions with nothing between."""
    x = conv(b, x, b.pick(2 * x.channels, x.channels), same(b, x.size, b.pick(1, 3)), groups=1)
    return conv(b, x, b.pick(2, 3), same(b, x.size, 1) if b.pick(True, False) else window(b, x.size), groups=1)


def transposed(b: Builder, x: Map) -> Map:
    """ConvTranspose, between maps per channel."""
    if b.sometimes():
        x = affine(b, x)
    out = b.pick(x.channels, 4)
    groups = b.pick(1, 1, *divisors(x.channels, out))
    kernel, strides = b.per_axis(3, 2, 1), b.per_axis(2, 1) if math.prod(x.size) < 100 else [1] * b.rank
    extra = [b.pick(0, s - 1) for s in strides]
    pads = [b.pick(0, *([1] if k == 3 and n > 1 else [])) for k, n in zip(kernel, x.size, strict=True)]
    w = b.weight(x.channels, out // groups, *kernel, fan_in=x.channels)
    bias = [b.weight(out)] if b.pick(False, True) else []
    more = {"strides": strides, "pads": pads * 2, "output_padding": extra, "group": groups}
    name = b.op("ConvTranspose", x, w, *bias, kernel_shape=kernel, **more)
    size = (s * (n - 1) + e + k - 2 * p for n, s, e, k, p in zip(x.size, strides, extra, kernel, pads, strict=True))
    y = Map(name, out, tuple(size))
    return affine(b, y) if b.pick(True, False) else y


def noop(b: Builder, x: Map) -> Map:
    one, zeros = np.ones(1), np.zeros(2 * (b.rank + 2), np.int64)
    nodes: dict[str, Callable[[], str]] = {
        "Identity": lambda: b.op("Identity", x),
        "Mul": lambda: b.op("Mul", x, one),
        "Sub": lambda: b.op("Sub", x, 0 * one),
        "Add": lambda: b.op("Add", b.pick(0, -0.0) * one, x),
        "Pad": lambda: b.op("Pad", x, zeros),
        "Dropout": lambda: b.op("Dropout", x),
        "Cast": lambda: b.op("Cast", x, to=TensorProto.FLOAT),
        "Concat": lambda: b.op("Concat", x, axis=1),
        "MaxPool": lambda: b.op("MaxPool", x, kernel_shape=[1] * b.rank),
        "Slice": lambda: b.op("Slice", x, np.array([0]), np.array([_END]), np.array([1])),
        "Transpose": lambda: b.op("Transpose", x, perm=[*range(b.rank + 2)]),
    }
    return x._replace(name=nodes[b.pick(*nodes)]())


def channels_last(b: Builder, x: Map) -> Map:
    """The end of a ConvNeXt block: linear layers on channels that come last, a layer scale, the residual."""
    moved = b.op("Transpose", x, perm=[0, *range(2, b.rank + 2), 1])
    hidden = b.op("MatMul", moved, b.weight(x.channels, 4, fan_in=x.channels))
    hidden = b.op("Sigmoid", b.op("Add", hidden, b.weight(4))) if b.pick(True, False) else hidden
    y = b.op("MatMul", hidden, b.weight(4, x.channels, fan_in=4))
    y = b.op("Add", b.weight(x.channels), y) if b.pick(True, False) else y
    back = {"perm": [0, b.rank + 1, *range(1, b.rank + 1)]}
    if b.pick(True, False):
        y = b.op("Transpose", b.op("Mul", y, b.factors(x.channels)), **back)
    else:
        y = b.op("Mul", b.op("Transpose", y, **back), b.factors(x.channels, *[1] * b.rank))
    return x._replace(name=b.op("Add", x, y))


def squeeze_excitation(b: Builder, x: Map) -> Map:
    x = conv(b, x, groups=b.pick(1, x.channels), out=x.channels)
    pooled = Map(b.op("GlobalAveragePool", x), x.channels, (1,) * b.rank)
    gate = pointwise(b, activation(b, pointwise(b, pooled, 2)), x.channels)
    return x._replace(name=b.op("Mul", x, b.op(b.pick("Sigmoid", "HardSigmoid"), gate)))


def group_norm(b: Builder, x: Map) -> Map:
    """As exporters spell it."""
    b.is_open = False
    groups = b.pick(*divisors(x.channels)[:2])
    rows = b.op("Reshape", x, np.array([0, groups, -1]))
    epsilon = b.pick(0.1, 0.5)  # of a constant, a small one makes noise of the rounding
    normal = b.op("InstanceNormalization", rows, np.ones(groups), np.zeros(groups), epsilon=epsilon)
    y = b.op("Reshape", normal, np.array([-1, x.channels, *x.size]))
    for op in b.pick(("Mul", "Add"), ("Mul",), ()):
        y = b.op(op, y, b.factors(x.channels, *[1] * b.rank))
    return x._replace(name=y)


def local_response_norm(b: Builder, x: Map) -> Map:
    """As PyTorch spells it, or as the operator, which the engine has for images and odd windows alone."""
    if b.rank == 3:
        return conv(b, x)  # the engine pools along three axes at most
    size, beta = b.pick(3, 5, 4, 1), b.pick(0.75, 0.75, 0.5, 0.6, 1.0)
    alpha, k = b.pick(0.1, 1.0, 1e-4), b.pick(1.0, 2.0)
    if b.rank == 2 and size % 2 and b.sometimes(2):
        return x._replace(name=b.op("LRN", x, size=size, alpha=alpha, beta=beta, bias=k))
    axis, ones = np.array([1]), [1] * b.rank
    pads = [size // 2, *[0] * b.rank, (size - 1) // 2, *[0] * b.rank]
    apart = b.op("Unsqueeze", b.op("Mul", x, x), axis)
    mean = b.op("AveragePool", apart, kernel_shape=[size, *ones], pads=pads, count_include_pad=1)
    scaled = b.op("Mul", b.op("Squeeze", mean, axis), np.array(alpha))
    power = b.op("Pow", b.op("Add", scaled, np.array(k)), np.array(beta))
    return x._replace(name=b.op("Div", x, power))


def turned(b: Builder, x: Map) -> Map:
    """Two Transposes, or two views, in a row; the second undoes the first."""
    if b.sometimes(2):
        b.is_open = False
        rows = b.op("Reshape", x, np.array([0, x.channels, -1]))
        return x._replace(name=b.op("Reshape", rows, np.array([-1, x.channels, *x.size])))
    moved = b.op("Transpose", x, perm=[0, *range(2, b.rank + 2), 1])
    moved = b.op("Relu", moved) if b.sometimes(4) else moved
    return x._replace(name=b.op("Transpose", moved, perm=[0, b.rank + 1, *range(1, b.rank + 1)]))


def twins(b: Builder, x: Map) -> Map:
    """Two sums of the same two values, in either order; one Clip after another."""
    y = conv(b, x, x.channels, same(b, x.size, 3))
    left, right = b.op("Add", x, y), b.op("Add", y, x)
    gate = b.op("Clip", b.op("Relu", right), np.array(-1.0), np.array(b.pick(6.0, -0.5)))
    return x._replace(name=b.op("Add", left, b.pick(gate, right)))


BLOCKS: tuple[Callable[[Builder, Map], Map], ...] = (
    convolution,
    preactivation,
    residual,
    parallel,
    shuffle,
    concatenated,
    halved,
    padded,
    pooling,
    pooled_after,
    strided_readers,
    resized,
    serial,
    transposed,
    noop,
    channels_last,
    squeeze_excitation,
    group_norm,
    local_response_norm,
    turned,
    twins,
)
