"""Runs compiled CNNs: numpy and onnxruntime, no PyTorch.

Importing this package loads neither: each public name brings its module along when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cnnc_runtime import errors

if TYPE_CHECKING:
    from cnnc_runtime.batch import Result, run_items
    from cnnc_runtime.engine import Engine, load
    from cnnc_runtime.media import Failure, Item, read_items
    from cnnc_runtime.metadata import Metadata
    from cnnc_runtime.preflight import check_model_file
    from cnnc_runtime.preprocessing import PRESETS, Preprocessing
    from cnnc_runtime.providers import GpuOptions
    from cnnc_runtime.recurrent.streaming import Stream
    from cnnc_runtime.tensors import TensorSpec

__all__ = [
    "PRESETS",
    "Engine",
    "Failure",
    "GpuOptions",
    "Item",
    "Metadata",
    "Preprocessing",
    "Result",
    "Stream",
    "TensorSpec",
    "check_model_file",
    "errors",
    "load",
    "read_items",
    "run_items",
]

_HOME = {
    "PRESETS": "preprocessing",
    "Engine": "engine",
    "Failure": "media",
    "GpuOptions": "providers",
    "Item": "media",
    "Metadata": "metadata",
    "Preprocessing": "preprocessing",
    "Result": "batch",
    "Stream": "recurrent.streaming",
    "TensorSpec": "tensors",
    "check_model_file": "preflight",
    "load": "engine",
    "read_items": "media",
    "run_items": "batch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
