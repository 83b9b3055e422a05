"""The attributes of a convolution or pooling node -> one `Window` per spatial axis, checked."""

from __future__ import annotations

from typing import cast

import onnx_ir as ir

from cnnc_passes.rewrite import op_name
from cnnc_passes.shapes import AUTO_PADS, AutoPad, Window
from cnnc_runtime.errors import InvalidInputError

__all__ = ["CONVOLUTIONS", "POOLINGS", "groups", "node_windows"]

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "com.microsoft::FusedConv"})
POOLINGS = frozenset({"MaxPool", "AveragePool", "LpPool"})


def node_windows(node: ir.Node) -> list[Window] | None:
    """The windows of a Conv, ConvTranspose, FusedConv, MaxPool, AveragePool or LpPool, one per spatial axis.

    Returns:
        None for any other operator, or where the kernel's size is not known.

    Raises:
        InvalidInputError: an attribute has the wrong length or an impossible value.
    """
    if op_name(node) not in CONVOLUTIONS | POOLINGS:
        return None
    kernel = _kernel(node)
    if kernel is None:
        return None
    rank = len(kernel)
    strides = _ints(node, "strides", [1] * rank, at_least=1)
    dilations = _ints(node, "dilations", [1] * rank, at_least=1)
    pads = _ints(node, "pads", [0] * (2 * rank), at_least=0)
    extra = _ints(node, "output_padding", [0] * rank, at_least=0)
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
    if auto_pad not in AUTO_PADS:
        raise InvalidInputError(f"`auto_pad` is {auto_pad!r}, not one of {', '.join(AUTO_PADS)}")
    return [
        Window(
            kernel=kernel[axis],
            stride=strides[axis],
            dilation=dilations[axis],
            pads=(pads[axis], pads[rank + axis]),
            auto_pad=cast(AutoPad, auto_pad),
            ceil_mode=bool(node.attributes.get_int("ceil_mode", 0)),
            output_padding=extra[axis],
            transposed=node.op_type == "ConvTranspose",
        )
        for axis in range(rank)
    ]


def groups(node: ir.Node) -> int:
    """The `group` of a convolution.

    Raises:
        InvalidInputError: it is not positive.
    """
    group = node.attributes.get_int("group", 1) or 0
    if group < 1:
        raise InvalidInputError(f"`group` is {group}, and must be at least 1")
    return group


def _kernel(node: ir.Node) -> list[int] | None:
    """From the weight, (out, in, *kernel), and the attribute, which must agree with it."""
    given = _ints(node, "kernel_shape", [], at_least=1) if "kernel_shape" in node.attributes else None
    if op_name(node) in POOLINGS:
        if given is None:
            raise InvalidInputError("`kernel_shape` is missing")
        return given
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if weight is None or weight.shape is None:
        return given
    kernel = [size for size in weight.shape[2:] if isinstance(size, int)]
    if len(kernel) != len(weight.shape) - 2:
        return given
    if given is not None and given != kernel:
        raise InvalidInputError(f"`kernel_shape` is {given}, but the weight is {list(weight.shape)}")
    return kernel


def _ints(node: ir.Node, name: str, default: list[int], *, at_least: int) -> list[int]:
    """The attribute, checked; of the default's length where it has one."""
    attribute = node.attributes.get(name)
    if attribute is None:
        return default
    values = list(attribute.as_ints())
    if default and len(values) != len(default):
        raise InvalidInputError(f"`{name}` is {values}: {len(default)} values are needed")
    if any(value < at_least for value in values):
        raise InvalidInputError(f"`{name}` is {values}: values must be at least {at_least}")
    return values
