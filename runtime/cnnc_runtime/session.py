"""Opens an onnxruntime session on the device asked for, and turns its failures into ours."""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path
from typing import Any, Literal

from cnnc_runtime.errors import (
    CnncError,
    DeviceError,
    InvalidInputError,
    ResourceLimitError,
    UnsafeInputError,
    UnsupportedModelError,
    UsageError,
)
from cnnc_runtime.model_cache import open_cached
from cnnc_runtime.providers import (
    CPU,
    Device,
    GpuOptions,
    has_nvidia_driver,
    load_onnxruntime,
    prepare_cuda,
    unavailable_reason,
)
from cnnc_runtime.threads import default_threads

__all__ = ["Optimization", "model_error", "open_session"]

Optimization = Literal["all", "extended", "basic", "off"]

_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "off": "ORT_DISABLE_ALL",
}

_WRONG_TRANSFORMERS = [
    "Pad_Fusion",  # Pad(0) -> MaxPool into MaxPool's pads, which count as -inf: wrong on negative inputs
    "FuseReluClip",  # fails on Relu -> Clip in float64: the session cannot be created
]

# These fold a factor into float16 weights with no look at the range: 100 * 2000 is infinity.
_WRONG_IN_HALF = ["ConvMulFusion", "ConvBNFusion"]

# It can lose a Conv that is also an output of the graph, and then finds nothing that produces it. Turned off only
# for nets on which that happens: it is also the fusion of residual adds.
_LOSES_AN_OUTPUT = "ConvAddActivationFusion"

_log = logging.getLogger("cnnc")


def open_session(
    model: str | bytes,
    name: str,
    device: Device | None,
    threads: int | None,
    optimization: Optimization,
    *,
    profile: str | None = None,
    optimized: str | None = None,
    gpu: GpuOptions | None = None,
    spinning: bool = True,
    cache: Path | None = None,
    engines: Path | None = None,
) -> tuple[Any, Device]:
    """An InferenceSession and the device it runs on; `device` None picks CUDA where it works, else the CPU.

    Args:
        model: a path, or the serialized model.
        name: what messages call it.
        device: where to run; None for `auto`.
        threads: CPU threads of one run; None for what this process has (see `threads.py`).
        optimization: onnxruntime's own graph optimization.
        profile: how the file begins that the session's `end_profiling` writes its events to.
        optimized: where to write the graph that is really run, after onnxruntime's own optimization.
        gpu: how a GPU computes.
        spinning: whether threads that wait for work burn their core for a while, to start sooner.
        cache: a private folder for optimized models of the CPU, or None.
        engines: the folder for TensorRT's engines and timings, or None.

    Raises:
        DeviceError: the device cannot be used; never a silent fallback.
        InvalidInputError, UnsafeInputError, UnsupportedModelError, ResourceLimitError: the model cannot be.
        UsageError: an option is out of range.
    """
    gpu = gpu or GpuOptions()

    def options(level: Optimization, write_to: str | None = None) -> Any:
        chosen = _options(threads, level, profile, spinning)
        if write_to is not None:
            chosen.optimized_model_filepath = write_to
        return chosen

    def create(on: Device) -> Any:
        if on.kind != "cpu":
            prepare_cuda()
        chain = on.chain(gpu, engines)
        # With the optimized graph asked for, or a profile, it is to be seen how onnxruntime arrives at it.
        if cache is None or on.kind != "cpu" or optimization == "off" or profile or optimized:
            return _create(model, name, on, chain, options(optimization, optimized))
        return open_cached(
            cache,
            model,
            repr((optimization, _WRONG_TRANSFORMERS, _WRONG_IN_HALF)),
            lambda path: _create(model, name, on, chain, _saving(options(optimization, path))),
            lambda path: _create(path, name, on, chain, _mapped(options("off"))),
        )

    if device is not None:
        return create(device), device
    cuda = Device("cuda")
    if not has_nvidia_driver() or cuda.provider not in load_onnxruntime().get_available_providers():
        _say_once("CUDA in this onnxruntime" if has_nvidia_driver() else "NVIDIA driver")
        return create(CPU), CPU
    try:
        return create(cuda), cuda
    except DeviceError as error:
        _log.warning("running on the CPU: %s", error)
        return create(CPU), CPU


@functools.cache
def _say_once(missing: str) -> None:
    """One line a process: whoever opens several engines has read it."""
    _log.info("running on the CPU: no %s", missing)


def _options(threads: int | None, optimization: Optimization, profile: str | None, spinning: bool) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimization not in _LEVELS:
        raise UsageError(f"`optimization` is {optimization!r}: choose {', '.join(_LEVELS)}")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[optimization])
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise UsageError(f"`threads` is {threads!r}: a whole number of at least 1")
    threads = threads or default_threads()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return options


def _saving(options: Any) -> Any:
    """Options that write the optimized graph (if at all) in onnxruntime's own format, which can be mapped."""
    options.add_session_config_entry("session.save_model_format", "ORT")
    return options


def _mapped(options: Any) -> Any:
    """Options that map such a file into memory, and leave its weights there."""
    options.add_session_config_entry("session.load_model_format", "ORT")
    options.add_session_config_entry("session.use_memory_mapped_ort_model", "1")
    options.add_session_config_entry("session.use_ort_model_bytes_for_initializers", "1")
    return options


def _create(model: str | bytes, name: str, device: Device, providers: list[Any], options: Any) -> Any:
    try:
        try:
            session = _session(model, providers, options)
        except Exception as error:
            if "producing output" not in str(error):
                raise
            session = _session(model, providers, options, _LOSES_AN_OUTPUT)
    except Exception as error:  # onnxruntime's exceptions share no base class
        if device.kind != "cpu" and re.search("CUDA|CUDNN|TensorRT|GPU", _one_line(error), re.IGNORECASE):
            raise DeviceError(f"{device} cannot be used: {_device_message(device, error)}") from error
        raise model_error(name, error) from error
    if session.get_providers()[0] != device.provider:
        raise DeviceError(f"{device} cannot be used: {unavailable_reason(device)}")
    return session


def _session(model: str | bytes, providers: list[Any], options: Any, *disabled: str) -> Any:
    def without(*more: str) -> Any:
        return load_onnxruntime().InferenceSession(
            model,
            options,
            providers=providers,
            disabled_optimizers=[*_WRONG_TRANSFORMERS, *disabled, *more],
            enable_fallback=0,  # onnxruntime's fallback prints to stdout and carries on elsewhere
        )

    session = without()
    if any(arg.type == "tensor(float16)" for arg in (*session.get_inputs(), *session.get_outputs())):
        session = without(*_WRONG_IN_HALF)
    return session


def _device_message(device: Device, error: Exception) -> str:
    if "invalid device ordinal" in str(error):
        return f"there is no GPU {device.index}"
    if not has_nvidia_driver() or "Please install" in str(error):
        return unavailable_reason(device)
    return _one_line(error)


def model_error(name: str, error: Exception) -> CnncError:
    """Our error for what onnxruntime raised on a model `name`, while loading or running it."""
    kind, message = type(error).__name__, _one_line(error)
    lower = message.lower()

    def says(*phrases: str) -> bool:
        return any(phrase in lower for phrase in phrases)

    if isinstance(error, MemoryError) or says(
        "failed to allocate",
        "bad_alloc",
        "bad allocation",
        "out of memory",
        "alloc_failed",
        "smaller than requested bytes",  # the CUDA provider's arena, at `memory_limit`
    ):
        return ResourceLimitError(f"{name}: not enough memory: {message}")
    if says("cuda failure", "cudnn failure", "cublas failure"):
        return DeviceError(f"the GPU failed on {name}: {message}")
    if says("escapes model directory", "absolute path not allowed"):
        return UnsafeInputError(f"{name} reads data outside its own folder: {message}")
    if kind == "InvalidProtobuf":
        return InvalidInputError(f"{name} is damaged, or no ONNX file: get a whole copy of it")
    if says("could not find an implementation for"):
        return UnsupportedModelError(
            f"{name} needs a kernel that this onnxruntime lacks (float32 is what every operator has): {message}"
        )
    if kind == "NotImplemented" or says(
        "no op registered",
        "not a registered function",
        "under development",
        "unsupported model ir version",
        "not supported",
    ):
        return UnsupportedModelError(f"{name} needs an operator or version this onnxruntime lacks: {message}")
    return InvalidInputError(f"{name} cannot be used: {message}")


# Its code, the file's name (which we say ourselves), and where in its C++ source it was raised.
_CLUTTER = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed:"
    r"|[^\s:]+\.(?:cc|h|hpp|cu):\d+ (?:[^()]*::~?\w+\([^()]*\)(?: const)? |\w+ )?"
)


def _one_line(error: Exception) -> str:
    text = _CLUTTER.sub("", " ".join(str(error).split()))
    return text if len(text) <= 300 else text[:297] + "..."
