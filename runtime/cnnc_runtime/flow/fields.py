"""The displacement of each pixel from one frame to the next, by OpenCV (the extra `video`)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.pipeline.video import load_opencv

__all__ = ["METHODS", "Method", "check_method", "optical_flow"]

Method = Literal["dis", "farneback", "tvl1"]
METHODS: tuple[Method, ...] = get_args(Method)

_SMALLEST = 16  # pixels a side: OpenCV's DIS fails on less

# OpenCV's own example has these: pyramid of 5 levels halved, windows of 15 pixels, 3 iterations, polynomials over 5
# pixels with a Gaussian of 1.2.
_FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 5,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}


def optical_flow(before: NDArray[np.uint8], after: NDArray[np.uint8], method: Method = "dis") -> NDArray[np.float32]:
    """Where each pixel of `before` is in `after`, relative to where it was.

    OpenCV computes it in this thread only, from here on in this process (`cv2.setNumThreads(1)`): the pipeline has a
    thread a sample, and the cores are the engine's.

    Args:
        before, after: 8-bit gray, (H, W); or RGB, (H, W, 3), which becomes gray by ITU-R 601-2 luma.
        method: `dis` (Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016; OpenCV's preset medium),
            `farneback` (Farneback, Two-Frame Motion Estimation Based on Polynomial Expansion, 2003), or `tvl1`
            (Zach et al., A Duality Based Approach for Realtime TV-L1 Optical Flow, 2007; in OpenCV's contrib only).

    Returns:
        (H, W, 2) in pixels: x to the right, then y down.

    Raises:
        UsageError: OpenCV is not installed, or has no such method.
        InvalidInputError: the frames differ in size, or have a side under 16 pixels.
    """
    cv2 = load_opencv()
    cv2.setNumThreads(1)
    check_method(method)
    if before.shape[:2] != after.shape[:2] or min(before.shape[:2]) < _SMALLEST:
        shown = " and ".join(f"{one.shape[0]}x{one.shape[1]}" for one in (before, after))
        raise InvalidInputError(f"optical flow needs two frames of one size, sides of {_SMALLEST} or more; not {shown}")
    first, second = (_gray(cv2, frame) for frame in (before, after))
    try:
        if method == "farneback":
            field = cv2.calcOpticalFlowFarneback(first, second, None, **_FARNEBACK)
        elif method == "tvl1":
            field = cv2.optflow.DualTVL1OpticalFlow_create().calc(first, second, None)
        else:
            field = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)
    except cv2.error as error:
        raise InvalidInputError(f"optical flow by {method} failed: {' '.join(str(error).split())}") from error
    found: NDArray[np.float32] = np.asarray(field, np.float32)
    return found


def check_method(method: str) -> None:
    """Raise UsageError if there is no such method, or this OpenCV does not have it."""
    if method not in METHODS:
        raise UsageError(f"optical flow by {method!r}: choose {', '.join(METHODS)}")
    cv2 = load_opencv()
    if method == "tvl1" and not hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create"):
        raise UsageError(
            "tvl1 is in OpenCV's contrib modules, which are not installed: in the place of opencv-python-headless, "
            "pip install opencv-contrib-python-headless"
        )


def _gray(cv2: Any, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    contiguous = np.ascontiguousarray(frame)
    if frame.ndim == 2:
        return contiguous
    gray: NDArray[np.uint8] = (
        contiguous[..., 0] if frame.shape[2] == 1 else cv2.cvtColor(contiguous, cv2.COLOR_RGB2GRAY)
    )
    return np.ascontiguousarray(gray)
