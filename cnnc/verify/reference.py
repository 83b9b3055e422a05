"""An ONNX graph in float64: onnx's ReferenceEvaluator, with its slowest operators as matrix products.

Nothing here is shared with the engine: NumPy (and its BLAS) alone. The graph is first turned into its
float64 twin: weights, casts and types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_conv import Conv as SlowConv
from onnx.reference.ops.op_max_pool import MaxPool as SlowMaxPool

__all__ = ["Float64Evaluator"]

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


class Float64Evaluator:
    """Runs a model with every floating tensor in float64.

    Args:
        model: weights included; it is not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        twin = onnx.ModelProto()
        twin.CopyFrom(model)
        _to_double(twin.graph)
        self._evaluator = ReferenceEvaluator(twin, new_ops=[Conv, ConvTranspose, FusedConv, MaxPool])

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output, in order; floating inputs are widened."""
        wide = {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in feed.items()}
        return [np.asarray(y) for y in self._evaluator.run(None, wide)]


class Conv(SlowConv):
    """Convolution as one matrix product per item and group."""

    op_domain = ""

    def _run(self, x: Any, w: Any, b: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
             kernel_shape: Any = None, pads: Any = None, strides: Any = None) -> tuple[np.ndarray]:  # fmt: skip
        if auto_pad not in (None, "NOTSET", "VALID"):
            return (super()._run(x, w, b, auto_pad, dilations, group, kernel_shape, pads, strides)[0],)
        return (_convolve(x, w, b, pads, strides, dilations, group or 1),)


class ConvTranspose(OpRun):
    """Transposed convolution, as a convolution of the input spread out by the stride (onnx's own cannot group)."""

    op_domain = ""

    def _run(self, x: Any, w: Any, b: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
             kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None,
             strides: Any = None) -> tuple[np.ndarray]:  # fmt: skip
        if auto_pad not in (None, "NOTSET") or output_shape:
            raise NotImplementedError("ConvTranspose with auto_pad or output_shape")
        rank, groups = w.ndim - 2, group or 1
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        pads, extra = pads or [0] * 2 * rank, output_padding or [0] * rank
        spread = np.zeros((*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], strides, strict=True))))
        spread[(slice(None), slice(None), *(slice(None, None, s) for s in strides))] = x
        reach = [(k - 1) * d for k, d in zip(w.shape[2:], dilations, strict=True)]
        margins = [r - p + e for r, p, e in zip(reach * 2, pads, [0] * rank + list(extra), strict=True)]
        crop = [slice(max(-margins[i], 0), n + min(margins[i + rank], 0)) for i, n in enumerate(spread.shape[2:])]
        spread = spread[(slice(None), slice(None), *crop)]
        # (C_in, C_out/groups, *kernel) -> (C_out, C_in/groups, *kernel), each kernel turned round
        turned = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
        kernels = turned.reshape(-1, w.shape[0] // groups, *w.shape[2:])
        return (_convolve(spread, kernels, b, [max(m, 0) for m in margins], None, dilations, groups),)


class FusedConv(OpRun):
    """com.microsoft::FusedConv with Relu: what an artifact of ours holds."""

    op_domain = "com.microsoft"

    def _run(self, x: Any, w: Any, b: Any = None, z: Any = None, activation: Any = None, auto_pad: Any = None,
             dilations: Any = None, group: Any = None, kernel_shape: Any = None, pads: Any = None,
             strides: Any = None, activation_params: Any = None) -> tuple[np.ndarray]:  # fmt: skip
        if activation != "Relu" or auto_pad not in (None, "NOTSET"):
            raise NotImplementedError(f"FusedConv with {activation}, auto_pad {auto_pad}")
        y = _convolve(x, w, b, pads, strides, dilations, group or 1)
        return (np.maximum(y if z is None else y + z, 0),)


class MaxPool(SlowMaxPool):
    """Maximum over a window view; what is rarer than explicit pads stays onnx's."""

    op_domain = ""

    def _run(self, x: Any, auto_pad: Any = None, ceil_mode: Any = None, dilations: Any = None,
             kernel_shape: Any = None, pads: Any = None, storage_order: Any = None,
             strides: Any = None) -> Any:  # fmt: skip
        if auto_pad not in (None, "NOTSET") or ceil_mode or len(self.onnx_node.output) > 1:
            return super()._run(x, auto_pad, ceil_mode, dilations, kernel_shape, pads, storage_order, strides)
        windows = _windows(x, kernel_shape, pads, strides, dilations, -np.inf)
        return (windows.max(axis=tuple(range(-len(kernel_shape), 0))),)


def _convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, pads: Any, strides: Any, dilations: Any, groups: int
) -> np.ndarray:
    """Cross-correlation of x (N, C, *spatial) with w (M, C/groups, *kernel), any rank."""
    rank = w.ndim - 2
    windows = _windows(x, w.shape[2:], pads, strides, dilations, 0.0)  # (N, C, *out, *kernel)
    out_size = windows.shape[2 : 2 + rank]
    inputs, outputs = w.shape[1], w.shape[0] // groups
    y = np.empty((x.shape[0], w.shape[0], *out_size))
    order = (0, *range(1 + rank, 1 + 2 * rank), *range(1, 1 + rank))  # (C, *kernel, *out)
    for item in range(x.shape[0]):
        for g in range(groups):
            columns = windows[item, g * inputs : (g + 1) * inputs].transpose(order)
            matrix = w[g * outputs : (g + 1) * outputs].reshape(outputs, -1)
            product = matrix @ columns.reshape(matrix.shape[1], -1)
            y[item, g * outputs : (g + 1) * outputs] = product.reshape(outputs, *out_size)
    return y if b is None else y + b.reshape(-1, *(1,) * rank)


def _windows(x: np.ndarray, kernel: Sequence[int], pads: Any, strides: Any, dilations: Any, fill: float) -> np.ndarray:
    """Every window that the kernel visits: (N, C, *out, *kernel), a view of the padded x."""
    rank = len(kernel)
    pads, strides, dilations = pads or [0] * 2 * rank, strides or [1] * rank, dilations or [1] * rank
    margins = [(0, 0), (0, 0), *((pads[i], pads[i + rank]) for i in range(rank))]
    padded = np.pad(x, margins, constant_values=fill)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    windows = sliding_window_view(padded, extent, axis=tuple(range(2, 2 + rank)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return windows[(*steps, *(slice(None, None, d) for d in dilations))]


def _to_double(graph: onnx.GraphProto) -> None:
    for i, tensor in enumerate(graph.initializer):
        if tensor.data_type in _FLOATS:
            graph.initializer[i].CopyFrom(_wide(tensor))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _FLOATS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _to_double(attribute.g)
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type in _FLOATS:
                attribute.t.CopyFrom(_wide(attribute.t))
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i in _FLOATS:
                attribute.i = TensorProto.DOUBLE


def _wide(tensor: TensorProto) -> TensorProto:
    array = numpy_helper.to_array(tensor).astype(np.float64)
    return numpy_helper.from_array(array, tensor.name)
