"""Versions: what is installed, what each is for, and what to install where one is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform

from cnnc._version import __version__
from cnnc.doctor.finding import Finding, State
from cnnc.machine import versions

__all__ = ["software"]

_SECTION = "software"
# Module, packages that bring it, what needs it, and the way to get it.
_BASE = (
    ("numpy", ("numpy",), "everything"),
    ("onnxruntime", ("onnxruntime-gpu", "onnxruntime"), "running anything"),
    ("PIL", ("pillow",), "images"),
    ("onnx", ("onnx",), "compiling and analyzing"),
    ("onnx_ir", ("onnx-ir",), "compiling and analyzing"),
    ("onnxsim", ("onnxsim",), "compiling"),
)
_EXTRAS = (
    ("torch", ("torch",), "compiling PyTorch sources", "torch"),
    ("onnxscript", ("onnxscript",), "compiling PyTorch sources", "torch"),
    ("safetensors", ("safetensors",), "checkpoints in .safetensors", "torch"),
    ("plotly", ("plotly",), "HTML reports and plots", "report"),
    ("jinja2", ("jinja2",), "HTML reports and plots", "report"),
)


def software() -> list[Finding]:
    """cnnc, Python, and every library: version, or what is missing without it; imports nothing heavy."""
    found = [
        Finding(_SECTION, "cnnc", "ok", __version__, data=__version__),
        Finding(_SECTION, "python", "ok", platform.python_version(), data=platform.python_version()),
    ]
    for module, packages, purpose in _BASE:
        found.append(_library(module, packages, purpose, "pip install --force-reinstall cnnc", is_base=True))
    for module, packages, purpose, extra in _EXTRAS:
        found.append(_library(module, packages, purpose, f"pip install 'cnnc[{extra}]'", is_base=False))
    both = versions(("onnxruntime-gpu", "onnxruntime"))
    if len(both) == 2:
        found.append(
            Finding(
                _SECTION,
                "two onnxruntimes",
                "problem",
                "onnxruntime and onnxruntime-gpu are both installed, in one folder: the last one wins",
                "pip uninstall onnxruntime onnxruntime-gpu, then pip install the one you want",
                data=both,
            )
        )
    return found


def _library(module: str, packages: tuple[str, ...], purpose: str, install: str, *, is_base: bool) -> Finding:
    installed = versions(packages)
    name = next(iter(installed), packages[0])
    if _is_there(module):
        version = installed.get(name, "of unknown version")
        return Finding(_SECTION, module, "ok", version if name == module else f"{version} ({name})", data=version)
    state: State = "problem" if is_base else "missing"
    return Finding(_SECTION, module, state, f"not installed: no {purpose}", install)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
