"""heat = sum_k w_k A_k: by CAM w_k = W[c, k], by Grad-CAM w_k = mean over places of d score_c / d A_k, then Relu.

Sources: Zhou et al., Learning Deep Features for Discriminative Localization (2016); Selvaraju et al., Grad-CAM:
Visual Explanations from Deep Networks via Gradient-based Localization (2017). Where a network ends in global average
pooling over P places and one linear layer, d score_c / d A_k is W[c, k] / P everywhere: Grad-CAM is Relu(CAM) / P.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc_passes.explain.builder import Builder
from cnnc_passes.explain.head import LinearHead, linear_head, logits, spatial_axes
from cnnc_passes.explain.layers import default_layer, find_layer
from cnnc_passes.gradient import differentiate
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.rewrite import constant
from cnnc_runtime.errors import UnsupportedModelError, UsageError

__all__ = ["CLASS_INPUT", "HEAT_MAP", "METHODS", "HeatMap", "Method", "add_heat_map"]

Method = Literal["cam", "gradcam"]
METHODS: tuple[str, ...] = get_args(Method)
HEAT_MAP = "heat_map"
"""The name of the output."""
CLASS_INPUT = "explain_class"
"""The name of the input that asks for a class."""

_OPSET = 13  # axes as inputs; what needs more says so itself
_SMOOTH = frozenset(  # of the operators of a gradient; others, as comparisons, stand for what jumps
    {
        "Add",
        "Cast",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Div",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Gemm",
        "Identity",
        "Log",
    }
    | {"MatMul", "Mul", "Neg", "Pad", "Pow", "Reciprocal", "ReduceMean", "ReduceSum", "Reshape", "Resize", "Shape"}
    | {"Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze"}
)
_PREPARE = (
    common.InlinePass(),
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    common.RemoveUnusedNodesPass(),
    common.TopologicalSortPass(),
    InferShapes(),
)


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """A heat map that a graph computes.

    Attributes:
        output: its name: float32 (N, h, w), or (N, t, h, w) for clips, in the layer's resolution.
        class_input: the name of the int64 input (N,) of classes, -1 for the top class; None where there is none.
        layer: the name of the value A, (N, K, h, w), that it is a sum of.
        method: `cam` or `gradcam`.
        score: the name of the output (N, classes) whose largest value is the top class.
        logits: the name of the value whose entry is differentiated: the score before a closing Softmax.
        weights: the name of the value w, (N, K, 1, 1), or with the layer's places where they are not averaged yet.
        classes: how many there are.
        is_smooth: whether the weights are a smooth function of the layer: no ReLU, no maximum stands behind it.
    """

    output: str
    class_input: str | None
    layer: str
    method: Method
    score: str
    logits: str
    weights: str
    classes: int
    is_smooth: bool = True


def add_heat_map(model: ir.Model, method: Method, layer: str | None = None, class_input: bool = False) -> HeatMap:
    """Add the output `heat_map` to an unrewritten graph, in place, for the net's first output of rank 2.

    Args:
        model: its shapes are inferred, and its constants lifted, on the way.
        method: `cam`, or `gradcam`.
        layer: for Grad-CAM, a value, a node or a PyTorch module; None for the last one with places before the head.
        class_input: take the class from a new input `explain_class`, int64 (N,), in which -1 stands for the top class.
            Else it is each image's top class.

    Raises:
        UsageError: no layer has that name, CAM is asked for one, or the names are taken.
        UnsupportedModelError: there is no score (N, classes), CAM's head is not there, or an operator between the
            layer and the score has no gradient here.
    """
    if method not in METHODS:
        raise UsageError(f"`explain` is {method!r}: choose {', '.join(METHODS)}")
    if method == "cam" and layer is not None:
        raise UsageError("CAM is of the layer before the global pooling: leave it out, or use gradcam:LAYER")
    for one in _PREPARE:
        one(model)
    _check(model)
    score, classes = _score(model)
    before = logits(score)
    head = linear_head(before) if method == "cam" else None
    if head is not None:
        target = head.layer
    else:
        target = find_layer(model, layer) if layer is not None else default_layer(before)

    build = Builder(model.graph)
    asked = _class_input(model, score) if class_input else None
    chosen = _choose(build, score, asked)
    is_smooth = True
    if head is not None:
        weights = _class_weights(build, head, chosen, classes)
    else:
        seed = _one_hot(build, chosen, before, classes)
        first = len(model.graph)
        weights = _mean_gradient(build, before, seed, target)
        is_smooth = all(node.op_type in _SMOOTH for node in list(model.graph)[first:])
    heat = _weighted_sum(build, weights, target, rectify=method == "gradcam")
    heat.name = HEAT_MAP
    model.graph.outputs.append(heat)
    InferShapes()(model)
    return HeatMap(
        output=HEAT_MAP,
        class_input=CLASS_INPUT if class_input else None,
        layer=str(target.name),
        method=method,
        score=str(score.name),
        logits=str(before.name),
        weights=str(weights.name),
        classes=classes,
        is_smooth=is_smooth,
    )


def _check(model: ir.Model) -> None:
    opset = model.graph.opset_imports.get("", model.graph.opset_imports.get("ai.onnx", 1))
    if opset < _OPSET:
        raise UnsupportedModelError(f"the graph is at opset {opset}, heat maps need {_OPSET}: export it again at 18")
    values = (
        *model.graph.inputs,
        *model.graph.initializers.values(),
        *(v for node in model.graph for v in node.outputs),
    )
    taken = {value.name for value in values} & {HEAT_MAP, CLASS_INPUT}
    if taken:
        raise UsageError(f"the graph already has a value named {sorted(map(str, taken))[0]!r}: rename it to explain it")


def _score(model: ir.Model) -> tuple[ir.Value, int]:
    for value in model.graph.outputs:
        if (
            value.shape is not None
            and len(value.shape) == 2
            and value.dtype is not None
            and value.dtype.is_floating_point()
        ):
            classes = value.shape[1]
            if isinstance(classes, int) and value.producer() is not None:
                return value, classes
    shapes = ", ".join(f"{value.name} {value.shape}" for value in model.graph.outputs)
    raise UnsupportedModelError(f"a heat map is for class scores, an output (N, classes); the outputs are {shapes}")


def _class_input(model: ir.Model, score: ir.Value) -> ir.Value:
    assert score.shape is not None
    asked = ir.Value(name=CLASS_INPUT, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([score.shape[0]]))
    model.graph.inputs.append(asked)
    return asked


def _choose(build: Builder, score: ir.Value, asked: ir.Value | None) -> ir.Value:
    """The class of each image, int64 (N,)."""
    top = build.apply("ArgMax", [score], "top", axis=1, keepdims=0)
    if asked is None:
        return top
    none = build.apply("Less", [asked, build.constant("zero", np.array(0, np.int64))], "none_asked")
    return build.apply("Where", [none, top, asked], "class")


def _one_hot(build: Builder, chosen: ir.Value, like: ir.Value, classes: int) -> ir.Value:
    """(N, classes) in the type of `like`: 1 at the class."""
    column = build.apply("Unsqueeze", [chosen, build.integers("one", [1])], "class_column")
    equal = build.apply("Equal", [column, build.integers("classes", range(classes))], "is_class")
    assert like.dtype is not None
    return build.cast(equal, like.dtype, "one_hot")


def _class_weights(build: Builder, head: LinearHead, chosen: ir.Value, classes: int) -> ir.Value:
    """W[c], (N, K, 1, 1)."""
    axes = spatial_axes(head.layer)
    if head.weights is None:
        rows = _one_hot(build, chosen, head.layer, classes)
    else:
        rows = build.apply("Gather", [head.weights, chosen], "class_weights", axis=head.class_axis)
        if head.class_axis == 1:
            rows = build.apply("Transpose", [rows], "class_weights_by_image", perm=[1, 0])
    if head.scale != 1.0:
        assert head.layer.dtype is not None
        factor = np.array(head.scale, head.layer.dtype.numpy())
        rows = build.apply("Mul", [rows, build.constant("alpha", factor)], "scaled_weights")
    kernel = constant(head.weights)
    if kernel is not None and kernel.ndim > 2:  # of a 1x1 convolution, which has its places already
        return rows
    return build.apply("Unsqueeze", [rows, build.integers("places", axes)], "weights")


def _mean_gradient(build: Builder, score: ir.Value, seed: ir.Value, layer: ir.Value) -> ir.Value:
    """The mean over places of d<score, seed>/d layer, (N, K, 1, 1)."""
    gradient = differentiate(score, seed, layer)
    for value in gradient.initializers:
        build.graph.register_initializer(value)
    build.graph.extend(gradient.nodes)
    axes = spatial_axes(layer)
    shape = gradient.value.shape
    if shape is not None and all(shape[axis] == 1 for axis in axes):
        return gradient.value
    return build.apply("ReduceMean", [gradient.value, build.integers("mean_axes", axes)], "weights", keepdims=1)


def _weighted_sum(build: Builder, weights: ir.Value, layer: ir.Value, *, rectify: bool) -> ir.Value:
    """sum_k w_k A_k in float32, (N, h, w)."""
    a, w = (build.cast(x, ir.DataType.FLOAT, f"{role}_float") for x, role in ((layer, "layer"), (weights, "weights")))
    product = build.apply("Mul", [a, w], "weighted")
    heat = build.apply("ReduceSum", [product, build.integers("channel_axis", [1])], "sum", keepdims=0)
    return build.apply("Relu", [heat], "rectified") if rectify else heat
