"""Displacements as 8 bits and back, and as the channels of an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError

__all__ = ["BOUND", "decode", "encode", "stack"]

BOUND = 20.0  # pixels: of the TSN tools, and of Carreira and Zisserman, 2017


def encode(field: NDArray[np.floating[Any]], bound: float = BOUND) -> NDArray[np.uint8]:
    """Displacements -> `round(255 * (min(max(d, -bound), bound) + bound) / (2 * bound))`, halves to even.

    That is the linear rescaling to 0..255 of Simonyan and Zisserman, Two-Stream Convolutional Networks, 2014
    (section 5), with the bound and rounding of the TSN tools (Wang et al., Temporal Segment Networks, 2016:
    dense_flow's `CAST`). No displacement becomes 128.

    Args:
        field: of any shape, in pixels.
        bound: pixels; what is beyond is clipped.

    Returns:
        of the same shape.
    """
    clipped = np.clip(field.astype(np.float64), -bound, bound)
    return np.rint(255 * (clipped + bound) / (2 * bound)).astype(np.uint8)


def decode(codes: NDArray[np.uint8], bound: float = BOUND) -> NDArray[np.float32]:
    """8-bit codes -> displacements in pixels, `bound * (2 * code / 255 - 1)`: off by bound/255 at most, if inside."""
    return (bound * (codes.astype(np.float64) * (2 / 255) - 1)).astype(np.float32)


def stack(fields: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """L fields (H, W, 2) -> channels (2L, H, W) in the order x1, y1, x2, y2, ...: equation 1 of the paper above.

    Raises:
        InvalidInputError: there are none, or their shapes differ.
    """
    if not fields or any(field.shape != fields[0].shape or field.shape[2:] != (2,) for field in fields):
        shapes = sorted({field.shape for field in fields})
        raise InvalidInputError(f"flow is stacked of fields (H, W, 2) of one size, got {shapes or 'none'}")
    return np.concatenate([field.transpose(2, 0, 1) for field in fields])
