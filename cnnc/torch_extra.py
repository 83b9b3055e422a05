"""The line between the two installs: with PyTorch (compile from a module) and without (run, analyze .onnx)."""

from __future__ import annotations

import importlib.util

from cnnc_runtime.errors import UsageError

__all__ = ["require_installed", "require_torch"]


def require_torch(purpose: str) -> None:
    """Raise UsageError, with the extra to install, unless PyTorch and its exporter are there; imports neither."""
    for module in ("torch", "onnxscript"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"{purpose} needs PyTorch: pip install 'cnnc[torch]'")


def require_installed(module: str, package: str, purpose: str) -> None:
    """Raise UsageError unless `module` can be imported."""
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{purpose} needs {package}: pip install 'cnnc[demo]'")
