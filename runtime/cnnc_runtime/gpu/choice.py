"""`gpu="measured"`: how a GPU convolves is measured at the first load on a machine, and the choice kept.

An entry is a small JSON file in the folder `gpu` of the cache. Its name is the hash of everything the choice depends
on, and then the hash of its content: `<key>-<content>.json`. One rename makes it, and an entry whose content is not
what its name says is measured again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnc_runtime.cache_folder import content_hash, evict, is_ours, private_folder
from cnnc_runtime.errors import DeviceError, UsageError
from cnnc_runtime.gpu.candidates import Choice, choose
from cnnc_runtime.gpu.tensorrt_cache import driver_and_gpus
from cnnc_runtime.providers import Device, GpuOptions, has_nvidia_driver, load_onnxruntime

__all__ = ["LIMIT", "measured_options", "read_gpu"]

LIMIT = 2**20
"""Bytes of all entries, of some 300 each."""

_FORMAT = "1"  # of the entries; goes up when what they hold, or how it is measured, changes

_log = logging.getLogger("cnnc")


def read_gpu(gpu: Any, device: Device | None) -> tuple[GpuOptions, bool]:
    """The options to begin with, and whether others are to be measured against them.

    Raises:
        UsageError: `gpu` is neither None nor GpuOptions nor "measured", or that is not for this device.
    """
    if gpu is None or isinstance(gpu, GpuOptions):
        return gpu or GpuOptions(), False
    if not isinstance(gpu, str) or gpu != "measured":
        raise UsageError(f"`gpu` is {gpu!r}: pass GpuOptions(...), or 'measured'")
    if device is not None and device.kind != "cuda":
        why = "TensorRT times kernels of its own" if device.kind == "tensorrt" else "the CPU has no such choice"
        raise UsageError(f"`gpu='measured'` is for device='cuda', not {str(device)!r}: {why}")
    return GpuOptions(), True


def measured_options(
    model: str | bytes,
    name: str,
    device: Device | None,
    gpu: GpuOptions,
    shapes: Any,
    settings: str,
    cache: Path | None,
    open_session: Callable[[Device, GpuOptions], Any],
) -> GpuOptions:
    """The options that run the net fastest on this GPU: those kept, or else measured now, and kept.

    Args:
        model: a path, or the serialized model.
        name: what messages call it.
        device: a GPU; None for `auto`, which leaves `gpu` as it is where there is none.
        gpu: the default.
        shapes: what will be run, as for `load`.
        settings: what else the session depends on.
        cache: the private folder of all caches, or None.
        open_session: opens the model there with these options.

    Raises:
        CnncError: as `open_session`, for the default.
        UsageError: a shape does not fit, or none was given and the net's own is open.
    """
    where = device or Device("cuda")
    if device is None and not _may_work(where):
        return _ignored(name, gpu)
    folder = private_folder(cache / "gpu") if cache is not None else None
    key = _key(model, f"{shapes!r} {gpu} {where} {settings}") if folder is not None else None
    if folder is not None and key is not None and (kept := _find(folder, key, gpu)) is not None:
        _log.debug("%s: gpu='measured' takes what was measured before: %s", name, kept)
        return kept
    if folder is None:
        _log.info("%s: gpu='measured' measures at every load: cache=True, or CNNC_CACHE=DIR, keeps the choice", name)
    try:
        choice = choose(lambda options: open_session(where, options), where, name, gpu, shapes)
    except DeviceError:
        if device is not None:
            raise
        return _ignored(name, gpu)
    if choice is None:
        return gpu
    _log.info("%s: gpu='measured' takes %s", name, choice)
    if folder is not None and key is not None:
        _store(folder, key, choice)
    return choice.gpu


def _may_work(device: Device) -> bool:
    return has_nvidia_driver() and device.provider in load_onnxruntime().get_available_providers()


def _ignored(name: str, gpu: GpuOptions) -> GpuOptions:
    _log.info("%s: gpu='measured' has no effect: there is no GPU that can be used", name)
    return gpu


def _key(model: str | bytes, settings: str) -> str | None:
    """Hash of all that the choice depends on; weights in other files count by their shapes, which are in the model."""
    try:
        content = content_hash(model if isinstance(model, bytes) else Path(model))
    except OSError:
        return None  # opening it says what is wrong with the file
    onnxruntime = load_onnxruntime()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # it numbers the GPUs
    versions = [onnxruntime.__version__, onnxruntime.get_build_info(), driver_and_gpus(), visible]
    return hashlib.sha256("\0".join([_FORMAT, content, settings, *versions]).encode()).hexdigest()[:32]


def _find(folder: Path, key: str, gpu: GpuOptions) -> GpuOptions | None:
    """`gpu` as the entry of that key has it; an entry that is damaged or not ours is dropped, with a warning."""
    for entry in sorted(folder.glob(f"{key}-*.json")):
        chosen = _read(entry, key, gpu)
        if chosen is not None:
            with contextlib.suppress(OSError):
                os.utime(entry)  # the least recently used go first
            return chosen
        _log.warning("the measured choice %s is damaged or not ours: dropped, and measured again", entry)
        with contextlib.suppress(OSError):
            entry.unlink()
    return None


def _read(entry: Path, key: str, gpu: GpuOptions) -> GpuOptions | None:
    try:
        content = entry.read_bytes() if is_ours(entry) else b""
        if entry.name != _entry_name(key, content):
            return None
        chosen = json.loads(content)
        if not isinstance(chosen["nhwc"], bool):
            return None
        return replace(gpu, convolution_search=chosen["convolution_search"], nhwc=chosen["nhwc"])
    except (OSError, ValueError, LookupError, TypeError, UsageError):  # no JSON, no such names, no such option
        return None


def _store(folder: Path, key: str, choice: Choice) -> None:
    gpu = {"convolution_search": choice.gpu.convolution_search, "nhwc": choice.gpu.nhwc}
    content = json.dumps({**gpu, "seconds": choice.seconds}, indent=1).encode()
    temporary, entry = folder / f".{secrets.token_hex(8)}", folder / _entry_name(key, content)
    try:
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
        temporary.replace(entry)
        evict(folder, "*.json", LIMIT, keep=entry)
    except OSError as error:
        _log.warning("the measured choice is not kept: %s: %s", folder, error.strerror)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _entry_name(key: str, content: bytes) -> str:
    return f"{key}-{content_hash(content)}.json"
