"""Devices, and the onnxruntime providers behind them. The device asked for is the device used.

Asked for CUDA that it cannot load, onnxruntime gives a CPU session and says nothing; here that is an error
that carries the loader's own reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cnnc_runtime.errors import UsageError

__all__ = [
    "CPU",
    "SEARCHES",
    "Device",
    "GpuOptions",
    "load_onnxruntime",
    "parse_device",
    "prepare_cuda",
    "unavailable_reason",
]

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


@dataclass(frozen=True)
class GpuOptions:
    """How a GPU computes; without effect on the CPU. What is left at its default is onnxruntime's own choice.

    Attributes:
        tf32: let float32 convolutions and matrix products use TensorFloat-32, which keeps 10 bits of mantissa:
            float32 in name only, so it is off, and an artifact's proof does not cover it.
        convolution_search: how cuDNN's algorithm is chosen for each new shape: `exhaustive` times them all (slow
            first run), `heuristic` asks cuDNN, `default` takes one that always works.
        nhwc: convolve in channels-last layout.
        cuda_graphs: record the kernels of a batch once and launch them together; batches are padded to buckets.
        memory_limit: bytes of onnxruntime's arena, which then grows by what is asked for, not by powers of two.
    """

    tf32: bool = False
    convolution_search: str = "exhaustive"
    nhwc: bool = False
    cuda_graphs: bool = False
    memory_limit: int | None = None

    def __post_init__(self) -> None:
        if self.convolution_search not in SEARCHES:
            raise UsageError(f"`convolution_search` is {self.convolution_search!r}: choose {', '.join(SEARCHES)}")
        limit = self.memory_limit
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise UsageError(f"`memory_limit` is {limit!r}: bytes, a whole number of at least 1")

    def cuda(self) -> dict[str, str]:
        """As options of onnxruntime's CUDA provider."""
        options = {"use_tf32": str(int(self.tf32))}
        if self.convolution_search != "exhaustive":  # onnxruntime's default
            options["cudnn_conv_algo_search"] = self.convolution_search.upper()
        if self.nhwc:
            options["prefer_nhwc"] = "1"
        if self.cuda_graphs:
            options["enable_cuda_graph"] = "1"
        if self.memory_limit is not None:
            options |= {"gpu_mem_limit": str(self.memory_limit), "arena_extend_strategy": "kSameAsRequested"}
        return options


SEARCHES = ("exhaustive", "heuristic", "default")
"""How cuDNN's algorithm can be chosen; onnxruntime's own choice is the first."""


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
        return self.chain(GpuOptions())

    def chain(self, gpu: GpuOptions, engines: Path | None = None) -> list[Any]:
        """`providers` with these options; `engines` is where TensorRT keeps its engines and timings."""
        here = {"device_id": str(self.index)}
        options = {"tensorrt": here | _tensorrt_cache(engines), "cuda": here | gpu.cuda()}
        kinds = {"cpu": [], "cuda": ["cuda"], "tensorrt": ["tensorrt", "cuda"]}[self.kind]
        return [*((_PROVIDERS[kind], options[kind]) for kind in kinds), _PROVIDERS["cpu"]]

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


def _tensorrt_cache(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


CPU = Device("cpu")


def parse_device(text: str) -> Device | None:
    """`cpu`, `cuda`, `cuda:1`, `tensorrt`, `tensorrt:1`; None for `auto`.

    Raises:
        UsageError: anything else.
    """
    if text == "auto":
        return None
    match = re.fullmatch(r"(cpu)|(cuda|tensorrt)(?::(\d{1,4}))?", text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"`device` is {text!r}: choose auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    return Device(match[1] or match[2], int(match[3] or 0))


@functools.cache
def load_onnxruntime() -> ModuleType:
    """onnxruntime, with its C++ log off the terminal (its errors reach us as exceptions) and its telemetry off.

    Version 1.31 starts telemetry threads when it is imported, and a process forked later hangs when it exits.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
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
