"""Opens an onnxruntime session on the device asked for, and turns its failures into ours."""

from __future__ import annotations

import logging
import re
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
from cnnc_runtime.providers import (
    CPU,
    Device,
    has_nvidia_driver,
    load_onnxruntime,
    prepare_cuda,
    unavailable_reason,
)

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
) -> tuple[Any, Device]:
    """An InferenceSession and the device it runs on; `device` None picks CUDA where it works, else the CPU.

    Args:
        model: a path, or the serialized model.
        name: what messages call it.
        device: where to run; None for `auto`.
        threads: CPU threads of one run, or None for onnxruntime's choice.
        optimization: onnxruntime's own graph optimization.
        profile: how the file begins that the session's `end_profiling` writes its events to.
        optimized: where to write the graph that is really run, after onnxruntime's own optimization.

    Raises:
        DeviceError: the device cannot be used; never a silent fallback.
        InvalidInputError, UnsafeInputError, UnsupportedModelError, ResourceLimitError: the model cannot be.
        UsageError: an option is out of range.
    """

    def create(on: Device) -> Any:
        options = _options(threads, optimization, profile)
        if optimized is not None:
            options.optimized_model_filepath = optimized
        return _create(model, name, on, options)

    if device is not None:
        return create(device), device
    cuda = Device("cuda")
    if not has_nvidia_driver() or cuda.provider not in load_onnxruntime().get_available_providers():
        _log.info("running on the CPU: no %s", "CUDA in this onnxruntime" if has_nvidia_driver() else "NVIDIA driver")
        return create(CPU), CPU
    try:
        return create(cuda), cuda
    except DeviceError as error:
        _log.warning("running on the CPU: %s", error)
        return create(CPU), CPU


def _options(threads: int | None, optimization: Optimization, profile: str | None) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimization not in _LEVELS:
        raise UsageError(f"`optimization` is {optimization!r}: choose {', '.join(_LEVELS)}")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[optimization])
    if threads is not None:
        if threads < 1:
            raise UsageError(f"`threads` is {threads}: at least 1")
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return options


def _create(model: str | bytes, name: str, device: Device, options: Any) -> Any:
    if device.kind != "cpu":
        prepare_cuda()

    def session_without(*more: str) -> Any:
        return load_onnxruntime().InferenceSession(
            model,
            options,
            providers=device.providers,
            disabled_optimizers=[*_WRONG_TRANSFORMERS, *more],
            enable_fallback=0,  # onnxruntime's fallback prints to stdout and carries on elsewhere
        )

    try:
        session = session_without()
        if any(arg.type == "tensor(float16)" for arg in (*session.get_inputs(), *session.get_outputs())):
            session = session_without(*_WRONG_IN_HALF)
    except Exception as error:  # onnxruntime's exceptions share no base class
        if device.kind != "cpu" and re.search("CUDA|CUDNN|TensorRT|GPU", _one_line(error), re.IGNORECASE):
            raise DeviceError(f"{device} cannot be used: {_device_message(device, error)}") from error
        raise model_error(name, error) from error
    if session.get_providers()[0] != device.provider:
        raise DeviceError(f"{device} cannot be used: {unavailable_reason(device)}")
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

    if isinstance(error, MemoryError) or says("failed to allocate", "bad_alloc", "bad allocation", "out of memory"):
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
