"""The kernels of the first convolution as one picture: a grid, each kernel on its own scale from black to white."""

from __future__ import annotations

import base64
import dataclasses
import io
import math

import numpy as np
import onnx_ir as ir
from PIL import Image

from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS

__all__ = ["KernelPicture", "first_kernels"]

_MOST_KERNELS = 256
_LARGEST = 64  # pixels a side of one kernel: what is larger is no filter to look at
_GAP = 1


@dataclasses.dataclass(frozen=True)
class KernelPicture:
    """A PNG of kernels, a pixel a weight.

    Attributes:
        data_uri: of the picture, for an <img>.
        width, height: in weights.
        shown, kernels: how many it shows, of how many.
        channels: 3 for red, green and blue, or 1.
        kernel: rows and columns of one.
    """

    data_uri: str
    width: int
    height: int
    shown: int
    kernels: int
    channels: int
    kernel: tuple[int, int]


def first_kernels(graph: ir.Graph) -> KernelPicture | None:
    """Of the first convolution, if its kernels read 1 or 3 channels of images; the only weights that are read."""
    node = next((node for node in graph if op_name(node) in CONVOLUTIONS), None)
    if node is None or node.op_type == "ConvTranspose" or len(node.inputs) < 2:
        return None
    weight = node.inputs[1].const_value if node.inputs[1] is not None else None
    if weight is None or len(weight.shape) != 4 or not weight.dtype.is_floating_point():
        return None
    kernels, channels, rows, columns = weight.shape.numpy()
    if channels not in (1, 3) or not 1 <= rows <= _LARGEST or not 1 <= columns <= _LARGEST or not kernels:
        return None
    shown = np.asarray(weight.numpy()[:_MOST_KERNELS], np.float32)
    picture = _grid(_normalize(shown))
    return KernelPicture(
        data_uri=_png(picture),
        width=picture.shape[1],
        height=picture.shape[0],
        shown=len(shown),
        kernels=kernels,
        channels=channels,
        kernel=(rows, columns),
    )


def _normalize(kernels: np.ndarray) -> np.ndarray:
    """(kernels, channels, rows, columns) -> bytes; the lowest weight of each kernel is 0, its highest 255."""
    kernels = np.nan_to_num(kernels, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
    low = kernels.min(axis=(1, 2, 3), keepdims=True)
    span = kernels.max(axis=(1, 2, 3), keepdims=True) - low
    scaled = np.where(span > 0, (kernels - low) / np.where(span > 0, span, 1.0), 0.5)
    return np.asarray(np.rint(scaled * 255), np.uint8)


def _grid(kernels: np.ndarray) -> np.ndarray:
    """(kernels, channels, rows, columns) -> (height, width, channels and opacity), gaps transparent."""
    count, channels, rows, columns = kernels.shape
    across = max(1, min(count, round(math.sqrt(2 * count * rows / columns))))  # about twice as wide as high
    down = math.ceil(count / across)
    step_y, step_x = rows + _GAP, columns + _GAP
    grid = np.zeros((down * step_y - _GAP, across * step_x - _GAP, channels + 1), np.uint8)
    for index, kernel in enumerate(kernels):
        y, x = index // across * step_y, index % across * step_x
        grid[y : y + rows, x : x + columns, :channels] = kernel.transpose(1, 2, 0)
        grid[y : y + rows, x : x + columns, channels] = 255
    return grid


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture, "RGBA" if picture.shape[2] == 4 else "LA").save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
