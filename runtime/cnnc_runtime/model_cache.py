"""Optimized models, kept: a second start skips onnxruntime's own optimization.

An entry is the graph that onnxruntime runs, in its own format, mapped into memory. It holds layouts that only CPUs
of one kind have, so the name carries the hash of everything it depends on, and then the hash of its content:
`<key>-<content>.ort`. One rename makes it, and an entry whose content is not what its name says is never opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import platform
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnc_runtime.cache_folder import content_hash, evict, is_ours
from cnnc_runtime.errors import CnncError
from cnnc_runtime.providers import load_onnxruntime

__all__ = ["LIMIT", "open_cached"]

LIMIT = 4 * 2**30
"""Bytes of all entries."""

_FORMAT = "1"  # of the entries; goes up when what they hold changes

_log = logging.getLogger("cnnc")


def open_cached(
    folder: Path,
    model: str | bytes,
    settings: str,
    fresh: Callable[[str | None], Any],
    stored: Callable[[str], Any],
) -> Any:
    """A session from the cache, or a fresh one that is stored there for the next time.

    The cache is never the reason why a model cannot be opened: where it fails, it is left out.

    Args:
        folder: a private one.
        model: a path, or the serialized model.
        settings: what else the optimized graph depends on.
        fresh: opens the model and, if given a path, writes the optimized one there.
        stored: opens an optimized model, as it is.

    Raises:
        CnncError: as `fresh`.
    """
    try:
        key = _key(model, settings)
    except OSError:
        return fresh(None)  # it says what is wrong with the file
    if (folder / f"{key}.never").exists():
        return fresh(None)
    entry = _find(folder, key)
    if entry is not None:
        try:
            session = stored(str(entry))
        except CnncError as error:
            _log.warning("the cached %s cannot be used and is not cached again: %s", _title(model), error)
            _drop(entry)
            with contextlib.suppress(OSError):
                (folder / f"{key}.never").touch()
            return fresh(None)
        with contextlib.suppress(OSError):
            os.utime(entry)  # the least recently used go first
        return session
    return fresh(None) if _has_weights_elsewhere(model) else _store(folder, key, fresh)


def _store(folder: Path, key: str, fresh: Callable[[str | None], Any]) -> Any:
    temporary = folder / f".{key}-{secrets.token_hex(8)}.ort"
    try:
        try:
            session = fresh(str(temporary))
        except CnncError:
            return fresh(None)  # the model's own fault is raised again; the disk's is not
        with contextlib.suppress(OSError):
            temporary.chmod(0o600)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            entry = folder / f"{key}-{content_hash(temporary)}.ort"
            temporary.replace(entry)
            evict(folder, "*.ort", LIMIT, keep=entry)
        return session
    finally:
        temporary.unlink(missing_ok=True)


def _find(folder: Path, key: str) -> Path | None:
    """The entry of that key whose content is what its name says; any other is dropped, with a warning."""
    for entry in folder.glob(f"{key}-*.ort"):
        with contextlib.suppress(OSError):
            if is_ours(entry) and entry.name == f"{key}-{content_hash(entry)}.ort":
                return entry
        _log.warning("the cached model %s is damaged or not ours: dropped, and made again", entry)
        _drop(entry)
    return None


def _drop(entry: Path) -> None:
    with contextlib.suppress(OSError):
        entry.unlink()


def _key(model: str | bytes, settings: str) -> str:
    """Hash of all that the optimized graph of a model depends on, if all its weights are in it."""
    content = content_hash(model if isinstance(model, bytes) else Path(model))
    onnxruntime = load_onnxruntime()
    parts = [_FORMAT, content, settings, onnxruntime.__version__, onnxruntime.get_build_info(), _cpu()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _has_weights_elsewhere(model: str | bytes) -> bool:
    """Whether other files may belong to the model: its hash would not cover them, so it is not stored.

    ONNX names such a file under the key "location", which therefore stands in the model, its length before it.
    """
    word = b"\x08location"
    if isinstance(model, bytes):
        return word in model
    with Path(model).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped.find(word) >= 0


def _cpu() -> str:
    """The CPU's model and instruction sets: onnxruntime chooses layouts by them."""
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            head = file.read(16384)  # the first core's
    except OSError:
        head = ""
    lines = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", head, re.MULTILINE)
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(lines))])


def _title(model: str | bytes) -> str:
    return "model" if isinstance(model, bytes) else model
