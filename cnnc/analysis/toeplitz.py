"""A convolution written out as the matrix of the fully connected layer that it is, and multiplied, as a proof."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc.analysis.result import Analysis
from cnnc.layer_names import layer_name
from cnnc_passes.rewrite import op_name
from cnnc_passes.shapes import Window, explicit_pads
from cnnc_passes.sizes import concrete_shape
from cnnc_passes.windows import CONVOLUTIONS, groups, node_windows

__all__ = ["DenseProof", "convolution_matrix", "prove_dense"]

_LARGEST = 1 << 25  # entries: 256 MiB in float64


@dataclasses.dataclass(frozen=True)
class DenseProof:
    """One convolution against its matrix.

    Attributes:
        layer: its name.
        outputs, inputs: rows and columns of the matrix: output and input values of one image.
        used: entries in which a weight stands; the others are zero: no connection.
        weights: how many different ones stand there, each again and again: shared.
        error: the largest difference between the convolution and the product, of the largest output; None where the
            matrix was not made, being too large.
    """

    layer: str
    outputs: int
    inputs: int
    used: int
    weights: int
    error: float | None

    def __str__(self) -> str:
        entries = self.outputs * self.inputs
        size = f"{self.layer}: a matrix of {self.outputs:,} x {self.inputs:,} = {entries:,} weights"
        if self.error is None:
            return f"{size}: too large to be written out here"
        return (
            f"{size}; {self.used:,} of them ({self.used / entries:.2%}) are connections, and these share "
            f"{self.weights:,} values; same output to {self.error:.1e}"
        )


def prove_dense(analysis: Analysis) -> list[DenseProof]:
    """Multiply each convolution's matrix with a random input, and compare with the convolution, both in float64.

    The convolution is that of the verification's oracle, which computes it in another way.
    """
    return [_prove(node, analysis.sizes) for node in analysis.model.graph if op_name(node) in CONVOLUTIONS]


def _prove(node: ir.Node, sizes: dict[str, int]) -> DenseProof:
    x, y = (concrete_shape(value, sizes) for value in (node.inputs[0], node.outputs[0]) if value is not None)
    weight = node.inputs[1].const_value if node.inputs[1] is not None else None
    windows = node_windows(node)
    assert x is not None and y is not None and windows is not None
    outputs, inputs = math.prod(y[1:]), math.prod(x[1:])
    if weight is None or outputs * inputs > _LARGEST:
        return DenseProof(layer_name(node), outputs, inputs, 0, weight.size if weight is not None else 0, None)
    kernel = weight.numpy()
    matrix = convolution_matrix(kernel, x[1:], y[1:], windows, groups(node))
    used = np.count_nonzero(convolution_matrix(np.ones_like(kernel), x[1:], y[1:], windows, groups(node)))
    image = np.random.default_rng(0).standard_normal((1, *x[1:]))
    expected = _convolved(node, kernel, image).ravel()
    error = np.abs(matrix @ image.ravel() - expected).max() / (np.abs(expected).max() or 1)  # weights of zeros
    return DenseProof(layer_name(node), outputs, inputs, int(used), kernel.size, float(error))


def convolution_matrix(
    kernel: np.ndarray, x: Sequence[int], y: Sequence[int], windows: Sequence[Window], group: int
) -> np.ndarray:
    """The matrix T of a convolution without its bias: `y.ravel() == T @ x.ravel()`, float64.

    It is block Toeplitz: the same weight stands wherever output and input lie the same way to each other.

    Args:
        kernel: (out, in/group, *k); of a transposed convolution (in, out/group, *k).
        x, y: one image's input and output, (C, *spatial).
        windows: one per spatial axis.
        group: of the convolution.
    """
    transposed = windows[0].transposed
    # Of a transposed convolution the output is the large side: each input is spread by the kernel. T is transposed.
    small, large = (x, y) if transposed else (y, x)
    matrix = np.zeros((small[0], math.prod(small[1:]), large[0], math.prod(large[1:])))
    one_small, one_large = small[0] // group, large[0] // group
    by_tap = kernel.reshape(*kernel.shape[:2], -1)
    for tap, taps in enumerate(np.ndindex(*kernel.shape[2:])):
        rows, columns = _connected(taps, small[1:], large[1:], x[1:], windows)
        for g in range(group):
            of_small = slice(g * one_small, (g + 1) * one_small)
            block = matrix[of_small, :, g * one_large : (g + 1) * one_large]
            block[:, rows, :, columns] = by_tap[of_small, :, tap]
    flat = matrix.reshape(math.prod(small), math.prod(large))
    return flat.T if transposed else flat


def _connected(
    taps: Sequence[int], small: Sequence[int], large: Sequence[int], x: Sequence[int], windows: Sequence[Window]
) -> tuple[np.ndarray, np.ndarray]:
    """Which positions, as flat indices, one tap of the kernel connects: large = small*stride + tap*dilation - pad."""
    axes = []
    for tap, few, many, size, window in zip(taps, small, large, x, windows, strict=True):
        begin, _ = explicit_pads(size, window)
        position = np.arange(few) * window.stride + tap * window.dilation - begin
        inside = (position >= 0) & (position < many)
        axes.append((np.flatnonzero(inside), position[inside]))
    flat = [
        np.ravel_multi_index(np.ix_(*side), shape).ravel()
        for side, shape in zip(zip(*axes, strict=True), (small, large), strict=True)
    ]
    return flat[0], flat[1]


def _convolved(node: ir.Node, kernel: np.ndarray, image: np.ndarray) -> np.ndarray:
    """By the float64 evaluator; without bias, residual and activation."""
    import onnx
    from onnx import helper, numpy_helper

    from cnnc.verify.reference import Float64Evaluator

    kept = [value for name, value in node.attributes.items() if not name.startswith("activation")]
    op = "ConvTranspose" if node.op_type == "ConvTranspose" else "Conv"
    proto = helper.make_node(op, ["x", "w"], ["y"])
    proto.attribute.extend(ir.to_proto(attribute) for attribute in kept)
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [proto],
        "convolution",
        [helper.make_tensor_value_info("x", double, image.shape)],
        [helper.make_tensor_value_info("y", double, None)],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return Float64Evaluator(model).run({"x": image})[0]
