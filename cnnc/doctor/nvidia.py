"""The NVIDIA driver, CUDA and cuDNN: which are found, where, and their versions as they say them themselves."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from cnnc.doctor.finding import Finding

__all__ = ["cuda_version", "cudnn_version", "has_driver", "nvidia"]

_SECTION = "devices"
_INSTALL = "pip install 'cnnc[cuda]'"
_MAJORS = range(20, 7, -1)  # of libraries to look for, newest first
_SMI = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]


def nvidia() -> list[Finding]:
    """The driver and its GPUs, the CUDA runtime, and cuDNN."""
    return [
        _driver(),
        _library("CUDA runtime", "cudart", "cudaRuntimeGetVersion"),
        _library("cuDNN", "cudnn", "cudnnGetVersion"),
    ]


def has_driver() -> bool:
    """Whether the driver's library loads."""
    return _load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1") is not None


def cuda_version(number: int) -> str:
    """12080 -> 12.8: a thousand a major version, ten a minor one (cuda.h)."""
    return f"{number // 1000}.{number % 1000 // 10}"


def cudnn_version(number: int) -> str:
    """91002 -> 9.10.2, 8907 -> 8.9.7: ten thousand a major version since 9, a thousand before (cudnn_version.h)."""
    major = 10000 if number >= 90000 else 1000
    return f"{number // major}.{number % major // 100}.{number % 100}"


def _driver() -> Finding:
    library = _load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    if library is None:
        advice = "for a GPU, install the driver from nvidia.com or your distribution; for the CPU nothing is missing"
        return Finding(_SECTION, "NVIDIA driver", "missing", "not found: libcuda does not load", advice)
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    gpus = _gpus()
    value = f"takes CUDA up to {cuda_version(number.value)}; " + ("; ".join(gpus) or "nvidia-smi names no GPU")
    data = {"cuda": cuda_version(number.value), "gpus": gpus}
    advice = "" if gpus else "run nvidia-smi: it says why no GPU is there (in a container: --gpus all)"
    return Finding(_SECTION, "NVIDIA driver", "ok" if gpus else "problem", value, advice, data)


def _gpus() -> list[str]:
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def _library(name: str, stem: str, function: str) -> Finding:
    """Found by the loader, or in NVIDIA's wheels, which onnxruntime's preload_dlls takes."""
    for candidate in [*(f"lib{stem}.so.{major}" for major in _MAJORS), *_in_wheels(stem)]:
        library = _load(candidate)
        if library is None or not hasattr(library, function):
            continue
        version = _version(library, function)
        return Finding(_SECTION, name, "ok", f"{version} ({candidate})", data={"version": version, "file": candidate})
    if has_driver():
        return Finding(_SECTION, name, "problem", "not found by the loader, nor in NVIDIA's wheels", _INSTALL)
    return Finding(_SECTION, name, "missing", "not found", f"for a GPU: {_INSTALL}")


def _version(library: ctypes.CDLL, function: str) -> str:
    call = getattr(library, function)
    if function == "cudnnGetVersion":  # returns it; CUDA's writes it
        call.restype = ctypes.c_size_t
        return cudnn_version(int(call()))
    number = ctypes.c_int()
    call(ctypes.byref(number))
    return cuda_version(number.value)


def _in_wheels(stem: str) -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    pattern = re.compile(rf"(lib)?{stem}(64_)?[\d_]*\.(so\.\d+|dll)")
    return sorted(str(file) for folder in folders for file in folder.rglob(f"*{stem}*") if pattern.fullmatch(file.name))


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
