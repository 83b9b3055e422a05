"""TensorRT's engines and timings, kept in a private folder of their own for every model, version and GPU.

An engine is machine code that TensorRT runs unseen. Files are therefore listed with their hashes when a session
that wrote them ends (`seal`), and a folder is opened only after everything else has been removed (`open_folder`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import secrets
from pathlib import Path

from cnnc_runtime.cache_folder import content_hash, is_ours, private_folder
from cnnc_runtime.providers import load_onnxruntime

__all__ = ["driver_and_gpus", "open_folder", "seal"]

_LIST = "hashes.json"
_DRIVER = Path("/proc/driver/nvidia")

_log = logging.getLogger("cnnc")


def open_folder(root: Path, model: str | bytes, settings: str) -> Path | None:
    """The folder for this model, with nothing in it but what `seal` listed; None if it cannot be private."""
    content = content_hash(model if isinstance(model, bytes) else Path(model))
    parts = [content, settings, load_onnxruntime().__version__, driver_and_gpus()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    folder = private_folder(root / "tensorrt" / key)
    if folder is None:
        return None
    listed = _listed(folder)
    for path in sorted(folder.iterdir()):
        if path.name != _LIST and not (is_ours(path) and listed.get(path.name) == content_hash(path)):
            _log.warning("the cached TensorRT file %s is not one we wrote: dropped, and made again", path)
            path.unlink()
    return folder


def seal(folder: Path) -> None:
    """List the files of the folder with their hashes; called when their session has ended."""
    with contextlib.suppress(OSError):  # a folder that cannot be listed is emptied when it is opened
        hashes = {path.name: content_hash(path) for path in folder.iterdir() if path.name != _LIST and is_ours(path)}
        temporary = folder / f".{secrets.token_hex(8)}"
        temporary.write_text(json.dumps(hashes))
        temporary.replace(folder / _LIST)


def _listed(folder: Path) -> dict[str, str]:
    try:
        hashes = json.loads((folder / _LIST).read_text())
    except (OSError, ValueError):
        return {}
    return hashes if isinstance(hashes, dict) and is_ours(folder / _LIST) else {}


def driver_and_gpus() -> str:
    """The driver's version and the GPUs, as the driver describes them: an engine is for one kind. Else empty."""
    files = [_DRIVER / "version", *sorted(_DRIVER.glob("gpus/*/information"))]
    texts = []
    for file in files:
        with contextlib.suppress(OSError):
            texts.append(file.read_text())
    return "\n".join(texts)
