"""Gemm(Flatten(x)) => Flatten(Conv(x)), its kernel the whole map; f(Flatten(x)) => Flatten(f(x)). Equal up to rounding.

A row of a fully connected layer, folded to (C, *map), is a kernel that fits the map in one place; on a larger map it
slides. So does the mean of a head: GlobalAveragePool(x) => AveragePool(x), its kernel the map, its stride 1.
Source: Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015, section 3.1.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.elementwise import BROADCASTING, UNARY
from cnnc_passes.forms.flattened import flattened, map_size, stays_one_place
from cnnc_passes.forms.linear import Linear, fits, linear_of
from cnnc_passes.rewrite import (
    Change,
    Decline,
    Rewrite,
    constant,
    has_one_reader,
    is_stored,
    new_constant,
    opset,
    reading,
    same_shape,
)
from cnnc_passes.windows import node_windows

__all__ = ["FullyConvolutional"]

_GLOBAL = {"GlobalAveragePool": "AveragePool", "GlobalMaxPool": "MaxPool"}
_POOLS = {"AveragePool", "MaxPool"}
_ALONG_CHANNELS = {"Softmax", "LogSoftmax", "BatchNormalization", "Concat"}
_ANY_PLACE = UNARY | {"Cast", "Dropout"}


class FullyConvolutional(Rewrite):
    """Move the Flatten of a classifier's head to its end, so that larger images give a map of scores.

    On request only (`--fully-convolutional`): the graph computes the same, and is in the form in which its input's
    height and width may be opened. What sees one channel at a time (Softmax, BatchNormalization, a bias) moves where
    the map has one place.

    Declines if the size of the map is not known, a weight or bias is not constant, the Gemm transposes its input,
    a value does not fit the weight's type, a constant differs from place to place, a Softmax is of an opset below 13
    or not along the channels, or the pooling is none of a head (its result weighs a map, as in squeeze-and-excitation).
    """

    roots = frozenset({"Gemm", "MatMul", *_GLOBAL, *_POOLS, *_ALONG_CHANNELS, *_ANY_PLACE, *BROADCASTING})
    example = """
        g (float[N,2,2,2] x) => (float[N,1] y) <float[1,8] w = {1,2,3,4,5,6,7,8}, float[1] b = {9}>
        { f = Flatten (x)  y = Gemm <transB = 1> (f, w, b) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for a layer that reads flattened maps, or for a pooling of a whole map."""
        if node.op_type in _GLOBAL or node.op_type in _POOLS:
            return _slide(node)
        maps = {index: x for index, value in enumerate(node.inputs) if (x := flattened(value)) is not None}
        if not maps or any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            return None
        if node.op_type in ("Gemm", "MatMul"):
            moved = _convolution(node, maps[0]) if 0 in maps else None
        else:
            moved = _elementwise(node, maps)
        if moved is None or isinstance(moved, Decline):
            return moved
        flatten = ir.node("Flatten", [moved.outputs[0]], {"axis": 1})
        alone = [value for value in dict.fromkeys(node.inputs[i] for i in maps) if value is not None]
        views = [view for value in alone if has_one_reader(value) and (view := value.producer()) is not None]
        return Change([*views, node], [moved, flatten], {node.outputs[0]: flatten.outputs[0]})


def _convolution(node: ir.Node, x: ir.Value) -> ir.Node | Decline | None:
    """The Conv whose kernel is the map."""
    if node.attributes.get_int("transA", 0):
        return Decline("the flattened map is transposed")
    linear = linear_of(node)
    if linear is None or isinstance(linear, Decline):
        return linear
    channels, size = x.shape[1] if x.shape is not None else None, map_size(x)
    assert isinstance(channels, int) and size is not None  # else it would be no `flattened` map
    weight = linear.weight if linear.transposed else linear.weight.T
    if linear.alpha != 1:  # else no copy: it may be 400 MB
        weight = linear.alpha * weight.astype(np.float64)
    if not fits(weight, linear.weight.dtype) or not fits(linear.bias, linear.weight.dtype):
        return Decline(f"a folded value does not fit {linear.weight.dtype}")
    kernel = weight.astype(linear.weight.dtype, copy=False).reshape(-1, channels, *size)
    inputs = [x, new_constant(node.outputs[0], "weight", kernel), *_bias(node, linear)]
    return ir.node("Conv", inputs, {"kernel_shape": list(size)}, name=node.name)


def _bias(node: ir.Node, linear: Linear) -> list[ir.Value]:
    if linear.inputs[2] is None:
        return []
    return [new_constant(node.outputs[0], "bias", linear.bias.astype(linear.weight.dtype))]


def _elementwise(node: ir.Node, maps: dict[int, ir.Value]) -> ir.Node | Decline | None:
    """The same operator on the maps themselves, its constants given the map's rank."""
    first = maps[min(maps)]
    rank = len(first.shape or ())
    is_one = set(map_size(first) or ()) == {1}
    if node.op_type in _ANY_PLACE:
        return reading(node, first) if 0 in maps else None
    if node.op_type in _ALONG_CHANNELS:
        return _along_channels(node, maps, is_one)
    inputs: list[ir.Value | None] = []
    for index, value in enumerate(node.inputs):
        if index in maps:
            if not same_shape(maps[index], first):
                return None
            inputs.append(maps[index])
            continue
        array = constant(value)
        if array is None or value is None:
            return Decline("a constant may be overridden by the caller") if is_stored(value) else None
        if array.size > 1 and (not is_one or array.shape[-1] != array.size):
            return Decline("a constant differs from place to place")
        column = array.reshape(*array.shape[-1:], *[1] * (rank - 2))
        inputs.append(value if array.size == 1 and array.ndim < 2 else new_constant(node.outputs[0], "column", column))
    return ir.node(node.op_type, inputs, node.attributes, domain=node.domain, name=node.name)


def _along_channels(node: ir.Node, maps: dict[int, ir.Value], is_one: bool) -> ir.Node | Decline | None:
    inputs = list(node.inputs)
    data = len(inputs) if node.op_type == "Concat" else 1
    if set(maps) != set(range(data)):
        return None
    if not is_one or any(set(map_size(x) or ()) != {1} for x in maps.values()):
        return Decline(f"{node.op_type} of a map of several places, flattened")
    attributes = dict(node.attributes)
    if node.op_type == "BatchNormalization":
        if node.attributes.get_int("training_mode", 0) or not node.attributes.get_int("spatial", 1):
            return None
    else:
        default = 1 if node.op_type == "Concat" or opset(node) < 13 else -1
        axis = node.attributes.get_int("axis", default) or 0
        if axis not in (1, -1):
            return Decline(f"{node.op_type} is not along the channels")
        if node.op_type != "Concat" and opset(node) < 13:
            return Decline(f"{node.op_type} of an opset below 13 is over channels and places together")
        attributes["axis"] = ir.AttrInt64("axis", 1)
    for index, x in maps.items():
        inputs[index] = x
    return ir.node(node.op_type, inputs, attributes, domain=node.domain, name=node.name)


def _slide(pool: ir.Node) -> Change | Decline | None:
    """The pooling of a whole map as one that slides over a larger: the kernel is the map, the stride 1."""
    x = pool.inputs[0]
    if x is None or x.shape is None or any(one.uses() or one.is_graph_output() for one in pool.outputs[1:]):
        return None
    size = map_size(x)
    is_global = pool.op_type in _GLOBAL
    if not is_global and (size is None or not _is_whole(pool, size)):
        return None
    if not stays_one_place(pool.outputs[0]):
        return Decline("its result weighs a map: it is no head's") if is_global else None
    if size is None:
        return Decline("the size of the map is not known")
    slid = ir.node(
        _GLOBAL.get(pool.op_type, pool.op_type),
        [x],
        {"kernel_shape": list(size), "strides": [1] * len(size)},
        name=pool.name,
    )
    return Change([pool], [slid])


def _is_whole(pool: ir.Node, size: tuple[int, ...]) -> bool:
    """True for a window that is the whole map, with a stride that a larger map would show."""
    windows = node_windows(pool) or []
    return any(window.stride > 1 for window in windows) and all(
        window.kernel == places
        and window.dilation == 1
        and not any(window.pads)
        and window.auto_pad in ("NOTSET", "VALID")
        for window, places in zip(windows, size, strict=True)
    )
