"""cnnc: compile trained PyTorch CNNs to small, fast, proved ONNX artifacts; run and explain them.

    compiled = cnnc.compile(model, example, output="net.onnx")
    engine = cnnc.load("net.onnx")
    y = engine.run(x)
    report = cnnc.analyze("net.onnx")

Everything is imported on first use: `import cnnc` itself loads neither PyTorch nor onnxruntime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cnnc._version import __version__

if TYPE_CHECKING:
    from cnnc.analysis import Analysis, analyze
    from cnnc.compiler import Compiled, compile
    from cnnc.recheck import verify_artifact
    from cnnc_passes.pipeline import optimize
    from cnnc_runtime import Engine, Preprocessing, errors, load

_HOME = {
    "Analysis": "cnnc.analysis",
    "Compiled": "cnnc.compiler",
    "Engine": "cnnc_runtime",
    "Preprocessing": "cnnc_runtime",
    "analyze": "cnnc.analysis",
    "compile": "cnnc.compiler",
    "errors": "cnnc_runtime",
    "load": "cnnc_runtime",
    "optimize": "cnnc_passes.pipeline",
    "verify_artifact": "cnnc.recheck",
}

__all__ = [
    "Analysis",
    "Compiled",
    "Engine",
    "Preprocessing",
    "__version__",
    "analyze",
    "compile",
    "errors",
    "load",
    "optimize",
    "verify_artifact",
]


def __getattr__(name: str) -> Any:
    if name == "zoo":
        return importlib.import_module("cnnc.zoo")
    if name not in _HOME:
        raise AttributeError(f"module 'cnnc' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
