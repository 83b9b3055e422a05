"""From what the user named to an open session: the file checked, the device found, the caches where they belong."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cnnc_runtime import live
from cnnc_runtime.cache_folder import cache_folder
from cnnc_runtime.errors import DeviceError, UsageError
from cnnc_runtime.gpu.choice import measured_options, read_gpu
from cnnc_runtime.gpu.placement import require_placement
from cnnc_runtime.gpu.tensorrt_cache import open_folder
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.preflight import check_model_bytes, check_model_file
from cnnc_runtime.providers import CPU, Device, GpuOptions, parse_device
from cnnc_runtime.session import Optimization, open_session

__all__ = ["Opened", "open_model"]

_log = logging.getLogger("cnnc")


@dataclass(frozen=True)
class Opened:
    """An open session.

    Attributes:
        session: the InferenceSession.
        device: where it is.
        name: what messages call the model.
        gpu: how a GPU computes.
        engines: the folder that TensorRT keeps its engines in, if it does.
        profile: the folder that the profile of the first run goes to, if that was asked for.
        with_graph: opens one more session, which records a CUDA graph; None where graphs were not asked for.
    """

    session: Any
    device: Device
    name: str
    gpu: GpuOptions
    engines: Path | None = None
    profile: tempfile.TemporaryDirectory[str] | None = None
    with_graph: Callable[[], Any] | None = None

    def require_placement(self) -> None:
        """Nothing, if all that has run since the session was opened (with `profile`) was on its device.

        Raises:
            DeviceError: lists the nodes that were not.
        """
        assert self.profile is not None
        with self.profile:
            require_placement(Path(self.session.end_profiling()), self.device, self.name)


def open_model(
    model: str | os.PathLike[str] | bytes,
    *,
    device: str,
    threads: int | None,
    spinning: bool | None,
    memory_limit: int | None,
    optimization: Optimization,
    gpu: GpuOptions | Literal["measured"] | None,
    shapes: Any,
    cache: bool | None,
    profile: bool,
    name: str | None,
) -> Opened:
    """Open the model; the arguments and errors are those of `Engine`."""
    wanted = parse_device(device)
    gpu, is_measured = read_gpu(gpu, wanted)
    if memory_limit is not None:
        gpu = replace(gpu, memory_limit=memory_limit)
        if wanted == CPU:
            raise UsageError("`memory_limit` bounds onnxruntime's memory on a GPU: on the CPU, limit the process")
    if gpu.cuda_graphs and wanted is not None and wanted.kind == "tensorrt":
        raise UsageError("`cuda_graphs` are for device='cuda': TensorRT has its own way of launching")
    if isinstance(model, bytes):
        name = name or "the model"
        check_model_bytes(model[:64])
    else:
        if not isinstance(model, (str, os.PathLike)):
            raise UsageError(f"`model` is of type {type(model).__name__}: pass a path, or the bytes of an .onnx file")
        model = os.fspath(model)
        name = name or model
        check_model_file(model)
    if wanted is not None and wanted.kind == "tensorrt":
        _refuse_fused(model, name, wanted)
    folder = cache_folder(cache)
    engines = open_folder(folder, model, str(gpu)) if folder and wanted and wanted.kind == "tensorrt" else None
    if spinning is None:
        spinning = live.count() == 0  # idle threads of one engine would keep the others' from the cores
    opened_on = functools.partial(
        open_session, model, name, threads=threads, optimization=optimization, spinning=spinning
    )
    if is_measured:
        gpu = measured_options(
            model, name, wanted, gpu, shapes, optimization, folder, lambda on, gpu: opened_on(on, gpu=gpu)[0]
        )
    profiled = tempfile.TemporaryDirectory(prefix="cnnc-") if profile else None
    try:
        profile_to = str(Path(profiled.name) / "run") if profiled else None
        plain = replace(gpu, cuda_graphs=False)
        session, on = opened_on(wanted, profile=profile_to, gpu=plain, cache=folder, engines=engines)
    except BaseException:
        if profiled is not None:
            profiled.cleanup()
        raise
    if on == CPU and gpu.memory_limit is not None:
        _log.warning("%s: `memory_limit` bounds onnxruntime's memory on a GPU only", name)
    has_graphs = gpu.cuda_graphs and on.kind == "cuda"
    with_graph = (lambda: opened_on(on, gpu=gpu, cache=folder)[0]) if has_graphs else None
    return Opened(session, on, name, gpu, engines, profiled, with_graph)


def _refuse_fused(model: str | bytes, name: str, device: Device) -> None:
    """TensorRT's parser has no FusedConv: an artifact lowered for the CPU provider's kernels is not for it."""
    session, _ = open_session(model, name, CPU, threads=1, optimization="off")
    metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
    if metadata is not None and metadata.target == "cpu":
        raise DeviceError(f"{name} is made for the CPU provider, not for {device}: compile with --target portable")
