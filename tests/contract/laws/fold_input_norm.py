"""Graphs for fold-input-norm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import copy, expose, overridable
from tests.contract.graphs import model, node, weights

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def photo(
    steps: Sequence[str] = ("255", "mean", "std"),
    rank: int = 2,
    cast: bool = False,
    shape: tuple[int, ...] = (3,),
    **attributes: object,
) -> onnx.ModelProto:
    """(x/255 - mean)/std of an image (N, H, W, C), or some of it, turned to (N, C, H, W), and a Conv."""
    nodes, value = [], "x"
    if cast:
        nodes.append(node("Cast", "x", "float", to=TensorProto.FLOAT))
        value = "float"
    for step, op in (("255", "Div"), ("mean", "Sub"), ("std", "Div")):
        if step in steps:
            nodes.append(node(op, f"{value} {step}", f"over_{step}"))
            value = f"over_{step}"
    nodes += [
        node("Transpose", value, "moved", perm=[0, rank + 1, *range(1, rank + 1)]),
        node("Conv", "moved w b", "y", **attributes),
    ]
    constants = {"255": np.float32(255), "mean": MEAN.reshape(shape), "std": STD.reshape(shape)}
    constants = {name: constants[name] for name in constants if name in steps}
    constants |= {"w": weights(5, 3, *(3,) * rank), "b": weights(5)}
    return model(nodes, {"x": ["batch", *(9,) * rank, 3]}, ["y"], constants)


def in_two_places(**attributes: object) -> onnx.ModelProto:
    """As torchvision's ToTensor and Normalize: over 255 before the Transpose, mean and deviation after it."""
    nodes = [
        node("Div", "x 255", "d"),
        node("Transpose", "d", "t", perm=[0, 3, 1, 2]),
        node("Sub", "t mean", "m"),
        node("Div", "m std", "n"),
        node("Conv", "n w", "y", **attributes),
    ]
    constants = {"255": np.float32(255), "mean": MEAN.reshape(3, 1, 1), "std": STD.reshape(3, 1, 1)}
    return model(nodes, {"x": ["batch", 9, 8, 3]}, ["y"], {**constants, "w": weights(4, 3, 3, 3)})


def of_bytes(**attributes: object) -> onnx.ModelProto:
    proto = copy(photo(cast=True, **attributes))
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return proto


def per_column() -> onnx.ModelProto:
    """A factor along W, as it would be the channels' after the Transpose."""
    nodes = [node("Mul", "x s", "m"), node("Transpose", "m", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y")]
    return model(nodes, {"x": ["batch", 5, 3, 3]}, ["y"], {"s": weights(3, 1), "w": weights(4, 3, 3, 3)})


def not_moved() -> onnx.ModelProto:
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t w", "y")]
    return model(nodes, {"x": ["batch", 5, 5, 3]}, ["y"], {"w": weights(4, 3, 3, 3)})


SAMPLES: dict[str, Sample] = {
    "1d": lambda: photo(rank=1),
    "2d": photo,
    "3d": lambda: photo(rank=3),
    "padded": lambda: photo(pads=[1, 1, 1, 1]),
    "same-strided": lambda: photo(auto_pad="SAME_UPPER", strides=[2, 2]),
    "full-rank": lambda: photo(shape=(1, 1, 1, 3)),
    "scale": lambda: photo(("255",), pads=[1, 1, 1, 1]),
    "shift": lambda: photo(("mean",)),
    "std-padded": lambda: photo(("mean", "std"), pads=[3, 3, 3, 3]),
    "in-two-places": in_two_places,
    "in-two-places-padded": lambda: in_two_places(pads=[1, 1, 1, 1]),
    "bytes": of_bytes,
    "bytes-padded": lambda: of_bytes(pads=[1, 1, 1, 1]),
}

DECLINES: dict[str, Sample] = {
    "another node reads the affine map": lambda: expose(photo(), "over_std"),
    "another node reads the transposed image": lambda: expose(photo(), "moved"),
    "of shape (3, 1) is not per channel": per_column,
    "may be overridden": lambda: overridable(photo(), "std"),
    "the weight or bias is not constant": lambda: overridable(photo(), "w"),
    "does not commute with the border": lambda: photo(("mean",), pads=[1, 1, 1, 1]),
}

LEAVES: dict[str, Sample] = {"no normalization": not_moved}
