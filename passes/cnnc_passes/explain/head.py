"""score = W GAP(A) + b: the head that class activation mapping reads its weights from (Zhou et al. 2016).

Between the pooling and the linear layer stands only what keeps the order of its values: Flatten, Reshape, Dropout.
The linear layer is a Gemm, a MatMul or a 1x1 Conv; where there is none, as in SqueezeNet, A holds a map for each
class already, and W is the identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from cnnc_passes.rewrite import constant, op_name, producer
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["LinearHead", "averages_all", "linear_head", "logits", "spatial_axes"]

_KEEPS_ORDER = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast")


@dataclasses.dataclass(frozen=True)
class LinearHead:
    """How a score is made of channels' means.

    Attributes:
        layer: A, (N, K, ...), the pooling's input.
        weights: W as the graph holds it; None for the identity.
        class_axis: of W, the axis that counts classes.
        scale: multiplies W.
    """

    layer: ir.Value
    weights: ir.Value | None = None
    class_axis: int = 0
    scale: float = 1.0


def logits(output: ir.Value) -> ir.Value:
    """The scores (N, C) before a closing Softmax, as Grad-CAM takes them; the output itself where there is none."""
    softmax = producer(output, "Softmax", "LogSoftmax")
    if softmax is None or softmax.attributes.get_int("axis", -1) not in (-1, 1):
        return output
    before = softmax.inputs[0]
    return before if before is not None and before.shape is not None and len(before.shape) == 2 else output


def linear_head(scores: ir.Value) -> LinearHead:
    """The head behind `scores`, (N, C).

    Raises:
        UnsupportedModelError: the network ends otherwise; says how.
    """
    node = producer(scores, "Add", "Gemm", "MatMul")
    value: ir.Value | None = scores
    weights, axis, scale = None, 0, 1.0
    if node is not None and op_name(node) == "Add":
        biased = [x for x in node.inputs if x is not None and constant(x) is None]
        node = producer(biased[0], "MatMul") if len(biased) == 1 else None
    if node is not None:
        x, weights = node.inputs[0], node.inputs[1]
        if x is None or weights is None or constant(weights) is None or node.attributes.get_int("transA", 0) == 1:
            raise _no_such_head(node)
        axis = 0 if node.attributes.get_int("transB", 0) else 1
        scale, value = _float(node.attributes, "alpha"), x
    value = _through(value)
    pointwise = producer(value, "Conv") if weights is None else None
    if pointwise is not None and _is_pointwise_of_one_place(pointwise):
        weights, value = pointwise.inputs[1], _through(pointwise.inputs[0])
    pool = value.producer() if value is not None else None
    if value is None or pool is None or not averages_all(pool):
        raise _no_such_head(pool)
    assert pool.inputs[0] is not None
    return LinearHead(pool.inputs[0], weights, axis, scale)


def averages_all(node: ir.Node) -> bool:
    """Whether a node takes the mean over every place of its (N, K, H, W) input: global average pooling."""
    x = node.inputs[0] if node.inputs else None
    if x is None or x.shape is None or len(x.shape) < 4:
        return False
    op, places = op_name(node), list(x.shape[2:])
    if op == "GlobalAveragePool":
        return True
    if op == "ReduceMean":
        return _reduced(node, len(x.shape)) == set(spatial_axes(x))
    if op != "AveragePool" or node.attributes.get_int("ceil_mode", 0) == 1:
        return False
    pads = node.attributes["pads"].as_ints() if "pads" in node.attributes else ()
    return list(node.attributes["kernel_shape"].as_ints()) == places and not any(pads)


def spatial_axes(value: ir.Value) -> list[int]:
    """Of (N, K, ...), the axes behind the channels."""
    assert value.shape is not None
    return list(range(2, len(value.shape)))


def _reduced(mean: ir.Node, rank: int) -> set[int]:
    if "axes" in mean.attributes:
        axes = list(mean.attributes["axes"].as_ints())
    else:
        given = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
        axes = [] if given is None else given.reshape(-1).tolist()
    return {int(axis) % rank for axis in axes}


def _through(value: ir.Value | None) -> ir.Value | None:
    while (node := producer(value, *_KEEPS_ORDER)) is not None:
        value = node.inputs[0]
    return value


def _is_pointwise_of_one_place(conv: ir.Node) -> bool:
    x, weights = conv.inputs[0], conv.inputs[1]
    kernel = constant(weights)
    return (
        kernel is not None
        and all(size == 1 for size in kernel.shape[2:])
        and conv.attributes.get_int("group", 1) == 1
        and x is not None
        and x.shape is not None
        and all(size == 1 for size in x.shape[2:])
    )


def _float(attributes: Mapping[str, ir.Attr], name: str) -> float:
    return attributes[name].as_float() if name in attributes else 1.0


def _no_such_head(node: ir.Node | None) -> UnsupportedModelError:
    at = f", but at {op_name(node)} {node.name or node.outputs[0].name!r}" if node is not None else ""
    return UnsupportedModelError(
        f"CAM needs a network that ends in global average pooling and one linear layer{at} this one does not: "
        "use --explain gradcam"
    )
