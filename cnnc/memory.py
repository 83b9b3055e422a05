"""Giving memory back between the stages of a compilation, each of which needs several times the weights."""

from __future__ import annotations

import ctypes
import gc
import sys

__all__ = ["release_memory"]


def release_memory() -> None:
    """Collect garbage, and return what the C library keeps of freed memory to the system (glibc only)."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
