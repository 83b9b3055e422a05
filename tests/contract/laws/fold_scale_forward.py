"""Graphs for fold-scale-forward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample, batchnorm
from tests.contract.edits import expose, overridable, set_attribute, to_float16
from tests.contract.graphs import model, node, weights


def before_conv(
    affine: Sequence[tuple[str, str]],
    rank: int = 2,
    bias: bool = True,
    constants: dict[str, np.ndarray] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """A chain of affine maps of x, `("Mul", "_ s")` with `_` for what came before, and a Conv: 4 inputs, 6 outputs.

    s is a factor per channel (negative ones too), t a shift, k a number; p is as BatchNormalization needs it.
    """
    groups = attributes.get("group", 1)
    assert isinstance(groups, int)
    every = {
        "w": weights(6, 4 // groups, *(3,) * rank),
        "s": np.array([-1.5, 0.5, 2, -0.7], np.float32).reshape(4, *(1,) * rank),
        "t": weights(4, *(1,) * rank),
        "k": np.float32(1.7),
        **({"b": weights(6)} if bias else {}),
        **{name: array + (name == "gamma") for name, array in batchnorm(4).items()},
        **(constants or {}),
    }
    nodes, value = [], "x"
    for i, (op, inputs) in enumerate(affine):
        nodes.append(node(op, inputs.replace("_", value).replace("p", "gamma beta mean var"), f"a{i}"))
        value = f"a{i}"
    nodes.append(node("Conv", f"{value} w b" if bias else f"{value} w", "y", **attributes))
    used = {name for one in nodes for name in one.input}
    read = {name: array for name, array in every.items() if name in used}
    return model(nodes, {"x": ["batch", 4, *(7,) * rank]}, ["y"], read)


SCALE, SHIFT, BATCHNORM = ("Mul", "_ s"), ("Add", "_ t"), ("BatchNormalization", "_ p")
PADDED = {"pads": [1, 1, 1, 1]}


def batchnorm_gemm(trans_b: int = 1, flatten: bool = False, **attributes: object) -> onnx.ModelProto:
    """The neck of a face recognition network: BatchNormalization, (Flatten,) Gemm."""
    rows = 4 * 6 if flatten else 4
    constants = {"w": weights(5, rows) if trans_b else weights(rows, 5), "b": weights(5), **batchnorm(4)}
    nodes = [node("BatchNormalization", "x gamma beta mean var", "n")]
    nodes += [node("Flatten", "n", "f")] if flatten else []
    nodes.append(node("Gemm", "f w b" if flatten else "n w b", "y", transB=trans_b, **attributes))
    return model(nodes, {"x": ["batch", 4, 2, 3] if flatten else ["batch", 4]}, ["y"], constants)


def before_transposed(affine: Sequence[str], groups: int = 1) -> onnx.ModelProto:
    constants = {"w": weights(4, 6 // groups, 3, 3), "s": weights(4, 1, 1, low=0.5, high=2), "t": weights(4, 1, 1)}
    nodes, value = [], "x"
    for op in affine:
        nodes.append(node(op, f"{value} {'s' if op == 'Mul' else 't'}", f"{value}{op}"))
        value += op
    nodes.append(node("ConvTranspose", f"{value} w", "y", group=groups, strides=[2, 2]))
    used = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in constants.items() if name in used}
    return model(nodes, {"x": ["batch", 4, 4, 4]}, ["y"], constants)


def transposed_gemm() -> onnx.ModelProto:
    nodes = [node("Mul", "x s", "m"), node("Gemm", "m w", "y", transA=1)]
    return model(nodes, {"x": [3, 4]}, ["y"], {"s": weights(4), "w": weights(3, 5)})


def of_an_image(height: str | int) -> onnx.ModelProto:
    """One channel, three factors: the Mul makes three channels of it."""
    nodes = [node("Mul", "x s", "m"), node("Conv", "m w", "y")]
    return model(nodes, {"x": ["batch", 1, height, 8]}, ["y"], {"s": weights(3, 1, 1), "w": weights(2, 3, 3, 3)})


def across_an_activation() -> onnx.ModelProto:
    nodes = [node("BatchNormalization", "x gamma beta mean var", "n"), node("Relu", "n", "r"), node("Conv", "r w", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], {"w": weights(6, 4, 3, 3), **batchnorm(4)})


def zero_scale(shift: float) -> dict[str, np.ndarray]:
    """One channel has scale 0."""
    return {
        "s": np.array([0, 0.5, 2, -0.7], np.float32).reshape(4, 1, 1),
        "t": np.array([shift, 1, -2, 0.5], np.float32).reshape(4, 1, 1),
    }


def tiny_scale() -> dict[str, np.ndarray]:
    return {"s": np.full((4, 1, 1), 1e-30, np.float32), "t": np.full((4, 1, 1), 1e20, np.float32)}


SAMPLES: dict[str, Sample] = {
    "scale-1d": lambda: before_conv([SCALE], rank=1),
    "scale-2d": lambda: before_conv([SCALE]),
    "scale-3d": lambda: before_conv([SCALE], rank=3),
    "scale-padded": lambda: before_conv([SCALE], **PADDED),
    "scale-same": lambda: before_conv([SCALE], auto_pad="SAME_UPPER"),
    "scale-number": lambda: before_conv([("Mul", "k _")]),
    "scale-grouped": lambda: before_conv([SCALE], group=2),
    "div": lambda: before_conv([("Div", "_ s")], **PADDED),
    "neg": lambda: before_conv([("Neg", "_")], **PADDED),
    "shift": lambda: before_conv([SHIFT]),
    "shift-valid": lambda: before_conv([SHIFT], auto_pad="VALID"),
    "shift-no-bias": lambda: before_conv([SHIFT], bias=False),
    "shift-grouped": lambda: before_conv([SHIFT], group=2),
    "shift-strided-dilated": lambda: before_conv([SHIFT], strides=[2, 1], dilations=[1, 2]),
    "sub-from": lambda: before_conv([("Sub", "t _")]),
    "scale-shift": lambda: before_conv([SCALE, SHIFT]),
    "scale-zero": lambda: before_conv([SCALE, SHIFT], constants=zero_scale(2)),
    "scale-shift-padded": lambda: before_conv([SCALE, SHIFT], **PADDED),
    "scale-shift-padded-1d": lambda: before_conv([SCALE, SHIFT], rank=1, pads=[0, 1]),
    "scale-shift-padded-3d": lambda: before_conv([SCALE, SHIFT], rank=3, pads=[0, 0, 1, 0, 0, 1]),
    "scale-shift-same": lambda: before_conv([SCALE, SHIFT], auto_pad="SAME_LOWER"),
    "shift-scale-padded": lambda: before_conv([SHIFT, SCALE], **PADDED),
    "scale-and-shift-zero-padded": lambda: before_conv([SCALE, SHIFT], constants=zero_scale(0), **PADDED),
    "two-shifts-padded": lambda: before_conv([SHIFT, ("Sub", "_ k")], **PADDED),
    "four-padded": lambda: before_conv([("Div", "_ k"), ("Sub", "_ t"), ("Div", "_ s"), ("Neg", "_")], **PADDED),
    "batchnorm": lambda: before_conv([BATCHNORM]),
    "batchnorm-scale-padded": lambda: before_conv([BATCHNORM, SCALE], **PADDED),
    "batchnorm-gemm": batchnorm_gemm,
    "batchnorm-gemm-untransposed": lambda: batchnorm_gemm(0, alpha=0.5, beta=2.0),
    "batchnorm-flatten-gemm": lambda: batchnorm_gemm(flatten=True),
    "scale-transposed": lambda: before_transposed(["Mul"]),
    "scale-transposed-grouped": lambda: before_transposed(["Mul"], groups=2),
    "scale-shift-transposed": lambda: before_transposed(["Mul", "Add"]),
}

DECLINES: dict[str, Sample] = {
    "another node reads the affine map": lambda: expose(before_conv([SCALE]), "a0"),
    "of shape (1, 7) is not per channel": lambda: before_conv([SCALE], constants={"s": weights(1, 7)}),
    "of shape (3, 1, 1) is not per channel": lambda: of_an_image(8),
    "may be overridden": lambda: overridable(before_conv([SCALE]), "s"),
    "the weight or bias is not constant": lambda: overridable(before_conv([SCALE]), "w"),
    "does not commute with the border": lambda: before_conv([SHIFT], **PADDED),
    "commute with the border": lambda: before_conv([SHIFT], auto_pad="SAME_UPPER"),
    "with the border": lambda: before_conv([BATCHNORM], **PADDED),
    "the border": lambda: before_transposed(["Add"]),
    "shift over the scale is not finite": lambda: before_conv([SCALE, SHIFT], constants=zero_scale(2), **PADDED),
    "over the scale is not finite": lambda: before_conv([SCALE, SHIFT], constants=tiny_scale(), **PADDED),
    "the input of the Gemm is transposed": transposed_gemm,
    "a divisor is zero": lambda: before_conv([("Div", "_ s")], constants=zero_scale(0)),
    "training_mode is set": lambda: set_attribute(before_conv([BATCHNORM]), 0, training_mode=1),
    "is not constant": lambda: overridable(before_conv([BATCHNORM]), "gamma"),
    "does not fit float32": lambda: before_conv([SCALE, SCALE], constants={"s": np.full((4, 1, 1), 1e25, np.float32)}),
    "does not fit float16": lambda: to_float16(
        before_conv([SCALE, SCALE], constants={"s": np.full((4, 1, 1), 1e4, np.float32)})
    ),
}

LEAVES: dict[str, Sample] = {
    "an activation lies between": across_an_activation,
    "a sum of two results": lambda: before_conv([("Add", "_ _")]),
    "a number over x": lambda: before_conv([("Div", "k _")]),
}
