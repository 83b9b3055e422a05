"""Graphs for pointwise-before-resize."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from cnnc_passes.infer_shapes import InferShapes
from tests.contract.blocks import Sample
from tests.contract.edits import expose, set_attribute
from tests.contract.graphs import model, node, weights


def scaled(
    rank: int = 2,
    *,
    outputs: int = 3,
    kernel: int = 1,
    groups: int = 1,
    scales: tuple[float, ...] | None = None,
    open_size: bool = False,
    opset: int = 20,
    **attributes: object,
) -> onnx.ModelProto:
    """A Resize by `scales`, then a Conv 6 -> `outputs`, then Neg."""
    factors = np.array(scales or (1, 1, *(2, 3, 2)[:rank]), np.float32)
    constants = {"w": weights(outputs, 6 // groups, *(kernel,) * rank), "b": weights(outputs), "s": factors}
    nodes = [
        node("Resize", "x s" if opset < 11 else "x _ s", "r", **attributes),
        node("Conv", "r w b", "c", group=groups),
        node("Neg", "c", "y"),
    ]
    size = [f"size{axis}" if open_size else 4 for axis in range(rank)]
    return model(nodes, {"x": ["batch", 6, *size]}, ["y"], constants, opset=opset)


def to_size(outputs: int = 3) -> onnx.ModelProto:
    constants = {"w": weights(outputs, 6, 1, 1), "sizes": np.array([2, 6, 9, 8], np.int64)}
    nodes = [node("Resize", "x _ _ sizes", "r", mode="linear"), node("Conv", "r w", "y")]
    return model(nodes, {"x": [2, 6, 4, 5]}, ["y"], constants)


def to_computed_size() -> onnx.ModelProto:
    """Batch and channels read off x, as PyTorch exports it, which declares the shape as well."""
    constants = {"w": weights(3, 6, 1, 1), "size": np.array([9, 8], np.int64)}
    nodes = [
        node("Shape", "x", "head", end=2),
        node("Concat", "head size", "sizes", axis=0),
        node("Resize", "x _ _ sizes", "r", mode="linear"),
        node("Conv", "r w", "y"),
    ]
    proto = model(nodes, {"x": ["batch", 6, 4, 5]}, ["y"], constants)
    return declare(proto, r=["batch", 6, 9, 8])


def to_the_size_of_another() -> onnx.ModelProto:
    """The upsampling of a U-Net or FPN with open height and width."""
    nodes = [
        node("Shape", "x", "head", end=2),
        node("Shape", "z", "tail", start=2),
        node("Concat", "head tail", "sizes", axis=0),
        node("Resize", "x _ _ sizes", "r", mode="nearest"),
        node("Conv", "r w", "c"),
        node("Add", "c z", "y"),
    ]
    inputs = {"x": ["batch", 6, "h", "w"], "z": ["batch", 3, "h", "w"]}
    return declare(model(nodes, inputs, ["y"], {"w": weights(3, 6, 1, 1)}), r=["batch", 6, "h", "w"])


def declare(proto: onnx.ModelProto, **shapes: list[int | str]) -> onnx.ModelProto:
    """The model with the shapes of some values declared, and those of others inferred from them."""
    for value in proto.graph.value_info:
        if value.name in shapes:
            dtype = value.type.tensor_type.elem_type
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, dtype, shapes[value.name]))
    shaped = ir.from_proto(proto)
    InferShapes()(shaped)
    return ir.to_proto(shaped)


def to_data_dependent_size() -> onnx.ModelProto:
    nodes = [
        node("Cast", "z", "sizes", to=onnx.TensorProto.INT64),
        node("Resize", "x _ _ sizes", "r"),
        node("Conv", "r w", "y"),
    ]
    return model(nodes, {"x": ["batch", 6, 4, 5], "z": [4]}, ["y"], {"w": weights(3, 6, 1, 1)})


def on_axes(axes: list[int], sizes: list[int]) -> onnx.ModelProto:
    constants = {"w": weights(3, 6, 1, 1), "sizes": np.array(sizes, np.int64)}
    nodes = [node("Resize", "x _ _ sizes", "r", axes=axes, mode="linear"), node("Conv", "r w", "y")]
    return model(nodes, {"x": ["batch", 6, 4, 5]}, ["y"], constants)


SAMPLES: dict[str, Sample] = {
    "1d": lambda: scaled(1, mode="linear"),
    "2d-nearest": scaled,
    "3d": lambda: scaled(3),
    "linear": lambda: scaled(mode="linear"),
    "align-corners": lambda: scaled(mode="linear", coordinate_transformation_mode="align_corners"),
    "cubic": lambda: scaled(mode="cubic"),
    "cubic-exclude-outside": lambda: scaled(mode="cubic", exclude_outside=1),
    "open-size": lambda: scaled(open_size=True),
    "grouped": lambda: scaled(groups=3),
    "as-many-outputs": lambda: scaled(outputs=6),
    "sizes": to_size,
    "sizes-as-many-outputs": lambda: to_size(outputs=6),
    "sizes-computed": to_computed_size,
    "sizes-of-another": to_the_size_of_another,
    "on-axes": lambda: on_axes([2, 3], [9, 8]),
    "on-negative-axes": lambda: on_axes([-1], [9]),
}

DECLINES: dict[str, Sample] = {
    "another node reads the Resize": lambda: expose(scaled(), "r"),
    "has a stride or padding": lambda: set_attribute(scaled(), 1, strides=[2, 2]),
    "a stride or padding": lambda: set_attribute(scaled(), 1, pads=[1, 1, 1, 1]),
    "more outputs than inputs": lambda: scaled(outputs=7),
    "extrapolates": lambda: set_attribute(to_size(), 0, coordinate_transformation_mode="tf_crop_and_resize"),
    "not known to keep batch and channels": lambda: scaled(scales=(2, 1, 2, 2)),
    "known to keep batch and channels": to_data_dependent_size,
    "keep batch and channels": lambda: on_axes([1, 2, 3], [6, 9, 8]),
    "MACs instead of": lambda: scaled(scales=(1, 1, 0.5, 0.5)),
}

LEAVES: dict[str, Sample] = {"the kernel is larger": lambda: scaled(kernel=3)}
