"""Sample graphs on which each law applies. The contract suite derives its variants from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from tests.contract.graphs import model, node, weights

Sample = Callable[[], onnx.ModelProto]


def batchnorm(channels: int) -> dict[str, np.ndarray]:
    """Statistics with negative and zero gammas among them."""
    gamma = weights(channels)
    gamma[0] = 0
    return {
        "gamma": gamma,
        "beta": weights(channels),
        "mean": weights(channels),
        "var": weights(channels, low=0.1, high=2.0),
    }


def conv_bn(rank: int = 2, groups: int = 1, bias: bool = True, dilation: int = 1) -> onnx.ModelProto:
    kernel, size = (3,) * rank, (7,) * rank
    constants = {"w": weights(6, 4 // groups, *kernel), **batchnorm(6)}
    if bias:
        constants["b"] = weights(6)
    conv = node(
        "Conv",
        "x w b" if bias else "x w",
        "c",
        group=groups,
        pads=[1] * 2 * rank,
        dilations=[dilation] * rank,
    )
    bn = node("BatchNormalization", "c gamma beta mean var", "y", epsilon=1e-3)
    return model([conv, bn], {"x": ["batch", 4, *size]}, ["y"], constants)


def conv_transpose_bn(groups: int = 1) -> onnx.ModelProto:
    """C_in differs from C_out, so that the weight's axes cannot be mixed up."""
    constants = {"w": weights(4, 6 // groups, 3, 3), "b": weights(6), **batchnorm(6)}
    conv = node("ConvTranspose", "x w b", "c", group=groups, strides=[2, 2])
    bn = node("BatchNormalization", "c gamma beta mean var", "y")
    return model([conv, bn], {"x": ["batch", 4, 5, 5]}, ["y"], constants)


def gemm_bn(trans_b: int = 1, alpha: float = 0.5, beta: float = 2.0) -> onnx.ModelProto:
    constants = {"w": weights(6, 4) if trans_b else weights(4, 6), "b": weights(6), **batchnorm(6)}
    gemm = node("Gemm", "x w b", "c", transB=trans_b, alpha=alpha, beta=beta)
    bn = node("BatchNormalization", "c gamma beta mean var", "y")
    return model([gemm, bn], {"x": ["batch", 4]}, ["y"], constants)


def conv_relu(rank: int = 2, bias: bool = True, groups: int = 1) -> onnx.ModelProto:
    constants = {"w": weights(6, 4 // groups, *(3,) * rank), **({"b": weights(6)} if bias else {})}
    conv = node("Conv", "x w b" if bias else "x w", "c", group=groups, strides=[2] * rank)
    return model([conv, node("Relu", "c", "y")], {"x": ["batch", 4, *(9,) * rank]}, ["y"], constants)


def residual(bias: bool = False, swapped: bool = False, projection: bool = False) -> onnx.ModelProto:
    constants = {"w": weights(4, 4, 3, 3), **({"b": weights(4)} if bias else {})}
    nodes = [node("Conv", "x w b" if bias else "x w", "c", pads=[1, 1, 1, 1])]
    shortcut = "x"
    if projection:
        constants["p"] = weights(4, 4, 1, 1)
        nodes.append(node("Conv", "x p", "s"))
        shortcut = "s"
    nodes.append(node("Add", f"{shortcut} c" if swapped else f"c {shortcut}", "a"))
    nodes.append(node("Relu", "a", "y"))
    return model(nodes, {"x": ["batch", 4, 6, 6]}, ["y"], constants)


def reduce_mean(opset: int = 20, keepdims: int = 1, axes: tuple[int, ...] = (2, 3)) -> onnx.ModelProto:
    if opset < 18:
        nodes = [node("ReduceMean", "x", "m", axes=list(axes), keepdims=keepdims)]
        constants = {}
    else:
        nodes = [node("ReduceMean", "x axes", "m", keepdims=keepdims)]
        constants = {"axes": np.array(axes, np.int64)}
    nodes.append(node("Relu", "m", "y"))
    return model(nodes, {"x": ["batch", 3, *(5,) * len(axes)]}, ["y"], constants, opset=opset)


def flatten(opset: int = 20) -> onnx.ModelProto:
    """What `torch.flatten(x, 1)` exports to with a dynamic batch."""
    nodes = [
        node("Shape", "x", "s", start=0, end=1),
        node("Concat", "s rest", "target", axis=0),
        node("Reshape", "x target", "f"),
        node("Neg", "f", "y"),
    ]
    return model(nodes, {"x": ["batch", 3, 2, 2]}, ["y"], {"rest": np.array([12])}, opset=opset)


def noop(op: str, inputs: str = "r", constants: dict[str, np.ndarray] | None = None, **attributes: object) -> Sample:
    """Relu, the operator that does nothing, Neg."""

    def build() -> onnx.ModelProto:
        nodes = [node("Relu", "x", "r"), node(op, inputs, "n", **attributes), node("Neg", "n", "y")]
        return model(nodes, {"x": ["batch", 3, 4, 4]}, ["y"], constants or {})

    return build


def _f(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float32)


SAMPLES: dict[str, dict[str, Sample]] = {
    "fold-batchnorm": {
        "conv-1d": lambda: conv_bn(1),
        "conv-2d": lambda: conv_bn(2),
        "conv-3d": lambda: conv_bn(3),
        "no-bias": lambda: conv_bn(bias=False),
        "grouped": lambda: conv_bn(groups=2),
        "dilated": lambda: conv_bn(dilation=2),
        "transposed": conv_transpose_bn,
        "transposed-grouped": lambda: conv_transpose_bn(groups=2),
        "gemm": gemm_bn,
        "gemm-untransposed": lambda: gemm_bn(trans_b=0, alpha=1.0, beta=1.0),
    },
    "fuse-activation": {
        "conv-1d": lambda: conv_relu(1),
        "conv-2d": lambda: conv_relu(2),
        "conv-3d": lambda: conv_relu(3),
        "no-bias": lambda: conv_relu(bias=False),
        "grouped": lambda: conv_relu(groups=2),
        "residual": residual,
        "residual-bias": lambda: residual(bias=True),
        "residual-swapped": lambda: residual(swapped=True),
        "residual-projection": lambda: residual(projection=True),
    },
    "reduce-to-pool": {
        "2d": reduce_mean,
        "1d": lambda: reduce_mean(axes=(2,)),
        "3d": lambda: reduce_mean(axes=(2, 3, 4)),
        "negative-axes": lambda: reduce_mean(axes=(-1, -2)),
        "squeezed": lambda: reduce_mean(keepdims=0),
        "axes-attribute": lambda: reduce_mean(opset=13),
    },
    "constant-reshape": {"flatten": flatten},
    "drop-noops": {
        "mul-one": noop("Mul", "r k", {"k": _f(1, 1)}),
        "mul-one-left": noop("Mul", "k r", {"k": _f(1, 3, 1, 1)}),
        "add-negative-zero": noop("Add", "r k", {"k": _f(-0.0, 1)}),
        "sub-zero": noop("Sub", "r k", {"k": _f(0, 1)}),
        "div-one": noop("Div", "r k", {"k": _f(1)}),
        "pow-one": noop("Pow", "r k", {"k": _f(1)}),
        "pad-zero": noop("Pad", "r k", {"k": np.zeros(8, np.int64)}),
        "max-pool-1x1": noop("MaxPool", kernel_shape=[1, 1], strides=[1, 1]),
        "average-pool-1x1": noop("AveragePool", kernel_shape=[1, 1]),
        "concat-of-one": noop("Concat", axis=1),
        "sum-of-one": noop("Sum"),
        "identity": noop("Identity"),
        "dropout": noop("Dropout"),
        "cast-same": noop("Cast", to=1),
        "clip-open": noop("Clip"),
        "clip-infinite": noop("Clip", "r low high", {"low": _f(-np.inf), "high": _f(np.inf)}),
        "transpose-identity": noop("Transpose", perm=[0, 1, 2, 3]),
        "reshape-same": noop("Reshape", "r k", {"k": np.array([0, 3, 4, 4])}),
        "resize-by-one": noop("Resize", "r _ k", {"k": _f(1, 4)}, mode="linear"),
        "slice-all": noop("Slice", "r s e a", {"s": np.array([0]), "e": np.array([2**62]), "a": np.array([1])}),
    },
}
