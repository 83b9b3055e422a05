"""Convolutions as matrix products: im2col in blocks that fit the cache, its transpose tap by tap.

Faster than PyTorch's float64 kernels (one im2col of the whole item, groups one by one), in less memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnc.verify.reference.operator import Operator, per_channel
from cnnc.verify.reference.windows import Axis, padded, sliding_axes
from cnnc_passes.shapes import AutoPad, Window
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["OPERATORS", "biased"]

_BLOCK = 1 << 20  # elements of one im2col matrix: 8 MiB


class Conv(Operator):
    """Convolution (cross-correlation) of x (N, C, *spatial) with w (M, C/group, *kernel)."""

    def _run(
        self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, group: int = 1, **window: Any
    ) -> tuple[np.ndarray]:
        window.pop("kernel_shape", None)
        y = _convolve(x, w, sliding_axes(x.shape[2:], w.shape[2:], **window), group)
        return (biased(y, b),)


class FusedConv(Operator):
    """com.microsoft::FusedConv: activation(Conv(x, w, b) + z)."""

    op_domain = "com.microsoft"

    def _run(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None = None,
        z: np.ndarray | None = None,
        activation: str = "",
        activation_params: Sequence[float] = (),
        group: int = 1,
        **window: Any,
    ) -> tuple[np.ndarray]:
        window.pop("kernel_shape", None)
        y = biased(_convolve(x, w, sliding_axes(x.shape[2:], w.shape[2:], **window), group), b)
        if z is not None:
            y += z
        if activation not in _ACTIVATIONS:
            raise UnsupportedModelError(f"FusedConv has the activation {activation!r}, which is none of its own")
        return (_ACTIVATIONS[activation](y, *map(np.float64, activation_params)),)


class ConvTranspose(Operator):
    """Transposed convolution of x (N, C, *spatial) with w (C, M/group, *kernel)."""

    def _run(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None = None,
        group: int = 1,
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        auto_pad: AutoPad = "NOTSET",
        output_padding: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        kernel_shape: Sequence[int] | None = None,
    ) -> tuple[np.ndarray]:
        rank = w.ndim - 2
        pads = pads or [0] * 2 * rank
        windows = [
            Window(
                kernel=w.shape[2 + i],
                stride=strides[i] if strides else 1,
                dilation=dilations[i] if dilations else 1,
                pads=(pads[i], pads[i + rank]),
                auto_pad=auto_pad,
                output_padding=output_padding[i] if output_padding else 0,
                transposed=True,
            )
            for i in range(rank)
        ]
        sizes = output_shape[-rank:] if output_shape else [None] * rank
        crops = [_crop(n, window, out) for n, window, out in zip(x.shape[2:], windows, sizes, strict=True)]
        return (biased(padded(_spread(x, w, windows, group), [(-a, -b) for a, b in crops]), b),)


def _crop(size: int, window: Window, out: int | None) -> tuple[int, int]:
    """What is cut off the two ends of the full result, (size - 1)*stride + span; a negative end is zeros added.

    auto_pad SAME aims at size*stride, but does not lengthen to reach it: onnxruntime's reading, not ONNX's.
    """
    whole = (size - 1) * window.stride + window.span + window.output_padding
    same = window.auto_pad in ("SAME_UPPER", "SAME_LOWER")
    if out is None and not same:
        begin, end = (0, 0) if window.auto_pad == "VALID" else window.pads
    else:
        total = max(whole - (out or size * window.stride), 0)
        begin = total // 2 if window.auto_pad == "SAME_UPPER" else total - total // 2
        end = whole - begin - out if out else total - begin
    return begin, end - window.output_padding


def _convolve(x: np.ndarray, w: np.ndarray, axes: Sequence[Axis], group: int) -> np.ndarray:
    """(N, M, *out), in blocks of rows of the first spatial axis: (group, M/group, K) @ (group, K, block)."""
    windows = _windows(padded(x, [(axis.begin, axis.reach) for axis in axes]), axes, group)
    matrix = w.reshape(group, w.shape[0] // group, -1)
    y = np.empty((x.shape[0], *matrix.shape[:2], *(axis.out for axis in axes)))
    row = matrix[:, 0].size * int(np.prod(y.shape[4:]))  # elements of im2col per row of the output
    if row * axes[0].out * x.shape[0] <= _BLOCK:  # small maps: the weight is read once for all items
        block = np.moveaxis(windows, 0, -1).reshape(group, matrix.shape[2], -1)
        whole = (matrix @ block).reshape(w.shape[0], *(axis.out for axis in axes), x.shape[0])
        return np.ascontiguousarray(np.moveaxis(whole, -1, 0))
    step = max(1, _BLOCK // max(1, row))
    before = [slice(None)] * (2 + len(axes))
    for item, start in itertools.product(range(x.shape[0]), range(0, axes[0].out, step)):
        rows: tuple[Any, ...] = (item, *before, slice(start, start + step))
        block = windows[rows].reshape(group, matrix.shape[2], -1)
        target = y[item, :, :, start : start + step]
        target[:] = (matrix @ block).reshape(target.shape)
    return y.reshape(x.shape[0], w.shape[0], *y.shape[3:])


def _windows(x: np.ndarray, axes: Sequence[Axis], group: int) -> np.ndarray:
    """What every tap sees in the padded x, as a view: (N, group, C/group, *kernel, *out)."""
    spatial = list(zip(x.strides[2:], axes, strict=True))
    channels = x.shape[1] // group
    return as_strided(
        x,
        (x.shape[0], group, channels, *(axis.kernel for axis in axes), *(axis.out for axis in axes)),
        (
            x.strides[0],
            x.strides[1] * channels,
            x.strides[1],
            *(stride * axis.dilation for stride, axis in spatial),
            *(stride * axis.stride for stride, axis in spatial),
        ),
        writeable=False,
    )


def _spread(x: np.ndarray, w: np.ndarray, windows: Sequence[Window], group: int) -> np.ndarray:
    """The whole transposed convolution, nothing cropped: each tap's product added where it belongs."""
    kernels = w.reshape(group, w.shape[0] // group, *w.shape[1:]).swapaxes(1, 2)  # (group, M/group, C/group, *kernel)
    columns = x.reshape(x.shape[0], group, kernels.shape[2], int(np.prod(x.shape[2:])))
    sizes = list(zip(x.shape[2:], windows, strict=True))
    y = np.zeros((x.shape[0], *kernels.shape[:2], *((n - 1) * a.stride + a.span for n, a in sizes)))
    for taps in itertools.product(*(range(window.kernel) for window in windows)):
        starts = [tap * a.dilation for tap, a in zip(taps, windows, strict=True)]
        seen = [slice(i, i + (n - 1) * a.stride + 1, a.stride) for i, (n, a) in zip(starts, sizes, strict=True)]
        here: tuple[Any, ...] = (..., *seen)
        kernel: tuple[Any, ...] = (..., *taps)
        y[here] += (kernels[kernel] @ columns).reshape(y[here].shape)
    return y.reshape(x.shape[0], w.shape[1] * group, *y.shape[3:])


def biased(y: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Y with a bias (C,) added in place, if there is one."""
    if b is not None:
        y += per_channel(b, y.ndim)
    return y


_ACTIVATIONS: dict[str, Callable[..., np.ndarray]] = {
    "": lambda y: y,
    "Relu": lambda y: np.maximum(y, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    "LeakyRelu": lambda y, alpha: np.where(y < 0, alpha * y, y),
    "Clip": lambda y, low, high: np.clip(y, low, high),
    "HardSwish": lambda y, *_: y * np.clip(y / 6 + 0.5, 0, 1),  # whatever its parameters are
    "HardSigmoid": lambda y, alpha, beta: np.clip(alpha * y + beta, 0, 1),
}

OPERATORS = (Conv, ConvTranspose, FusedConv)
