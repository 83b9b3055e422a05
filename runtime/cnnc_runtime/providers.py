"""Devices, and the onnxruntime providers behind them. The device asked for is the device used.

Asked for CUDA that it cannot load, onnxruntime gives a CPU session and says nothing; here that is an error
that carries the loader's own reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cnnc_runtime.errors import UsageError

__all__ = ["CPU", "Device", "load_onnxruntime", "parse_device", "prepare_cuda", "unavailable_reason"]

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


@dataclass(frozen=True)
class Device:
    """`kind` is cpu, cuda or tensorrt; `index` counts GPUs from 0."""

    kind: str
    index: int = 0

    @property
    def provider(self) -> str:
        """The provider that a session on this device must report first."""
        return _PROVIDERS[self.kind]

    @property
    def providers(self) -> list[Any]:
        """What to ask onnxruntime for: this provider, then those that take the nodes it lacks."""
        # TensorFloat-32 keeps 10 bits of mantissa: float32 in name only, and it would fail the proof
        gpu = {"tensorrt": {"device_id": str(self.index)}, "cuda": {"device_id": str(self.index), "use_tf32": "0"}}
        chain = {"cpu": [], "cuda": ["cuda"], "tensorrt": ["tensorrt", "cuda"]}[self.kind]
        return [*((_PROVIDERS[kind], gpu[kind]) for kind in chain), _PROVIDERS["cpu"]]

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


def parse_device(text: str) -> Device | None:
    """`cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`; None for `auto`.

    Raises:
        UsageError: anything else.
    """
    if text == "auto":
        return None
    match = re.fullmatch(r"(cpu)|(cuda|tensorrt)(?::(\d{1,4}))?", text)
    if match is None:
        raise UsageError(f"`device` is {text!r}: choose auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    return Device(match[1] or match[2], int(match[3] or 0))


@functools.cache
def load_onnxruntime() -> ModuleType:
    """onnxruntime, with its C++ log off the terminal: its errors reach us as exceptions."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    return onnxruntime  # type: ignore[no-any-return]


@functools.cache
def prepare_cuda() -> None:
    """Load CUDA and cuDNN from the nvidia wheels, if installed; the session made next tells how it went."""
    preload = getattr(load_onnxruntime(), "preload_dlls", None)
    if preload is None:
        return
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        preload()


def has_nvidia_driver() -> bool:
    """Whether the NVIDIA driver's library loads: without it no GPU can be used, whatever is installed."""
    return _load_error("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1") is None


def unavailable_reason(device: Device) -> str:
    """Why a session on `device` fell back to the CPU: the loader's reason, and the way out.

    Asked only after onnxruntime has tried: a provider's library loaded before that would start without the
    host it expects, and break the session that would have worked.
    """
    onnxruntime = load_onnxruntime()
    if device.provider not in onnxruntime.get_available_providers():
        return f"this onnxruntime is built without {device.provider}: pip install onnxruntime-gpu"
    reason = _load_error(_library(onnxruntime, device.kind))
    if not has_nvidia_driver():
        return f"{reason or 'no GPU'}; no NVIDIA driver either: install it, and pip install 'cnnc[cuda]'"
    if device.kind == "tensorrt" and reason and "nvinfer" in reason:
        return f"{reason}: install TensorRT (pip install tensorrt), or use --device cuda"
    if reason:
        return f"{reason}: pip install 'cnnc[cuda]'"
    return "onnxruntime gave no reason: check `nvidia-smi` and the driver's version"


def _library(onnxruntime: ModuleType, kind: str) -> str:
    folder = Path(str(onnxruntime.__file__)).parent / "capi"
    name = f"onnxruntime_providers_{kind}"
    return str(folder / (f"{name}.dll" if sys.platform == "win32" else f"lib{name}.so"))


def _load_error(library: str) -> str | None:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        reason = str(error)
        # Every library it needs was found; this symbol comes from onnxruntime itself.
        return None if "Provider_GetHost" in reason else reason
    return None
