"""Where cnnc writes: the cache, the temporary folder, and the current one, beside which artifacts are made."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from cnnc.doctor.finding import Finding
from cnnc_runtime.cache_folder import cache_folder

__all__ = ["cache_finding", "folder_finding", "storage"]

_SECTION = "storage"
_LITTLE = 2**30  # bytes


def storage() -> list[Finding]:
    """The cache, and the free disk where artifacts and temporary files are written."""
    try:
        temporary = folder_finding("temporary folder", Path(tempfile.gettempdir()), "TMPDIR")
    except OSError as error:  # no folder of those it tries can be written to
        advice = "set TMPDIR to a folder that you may write to"
        temporary = Finding(_SECTION, "temporary folder", "problem", str(error), advice)
    return [cache_finding(), temporary, folder_finding("current folder", Path.cwd(), "--output")]


def cache_finding() -> Finding:
    """Whether optimized models are kept for the next start, and where."""
    setting = os.environ.get("CNNC_CACHE", "")
    if not setting:
        advice = "for faster starts: export CNNC_CACHE=~/.cache/cnnc (or cnnc.load(..., cache=True))"
        return Finding(_SECTION, "cache", "ok", "off", advice, {"folder": None})
    if setting == "0":
        return Finding(_SECTION, "cache", "ok", "off: CNNC_CACHE is 0", data={"folder": None})
    path = Path(setting)
    if not path.exists():
        value = f"{path}: will be made when it is needed"
        return Finding(_SECTION, "cache", "ok", value, data={"folder": str(path), "bytes": 0})
    folder = cache_folder()  # makes nothing: it is there
    if folder is None:
        advice = "make it a folder of yours that nobody else can write to: chmod 700, or name another in CNNC_CACHE"
        return Finding(_SECTION, "cache", "problem", f"{path} cannot be used", advice, {"folder": str(path)})
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Finding(
        _SECTION, "cache", "ok", f"{folder}, {size / 1e6:.0f} MB", data={"folder": str(folder), "bytes": size}
    )


def folder_finding(name: str, path: Path, elsewhere: str) -> Finding:
    """A folder to write to, and the disk it is on; `elsewhere` is what names another."""
    advice = f"write elsewhere ({elsewhere}), or make room"
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding(_SECTION, name, "problem", f"{path}: {error.strerror}", advice)
    value = f"{path}, {free / 2**30:.1f} GiB free"
    data = {"folder": str(path), "free": free}
    if not os.access(path, os.W_OK):
        return Finding(_SECTION, name, "problem", f"{path} is not writable", advice, data)
    if free < _LITTLE:
        return Finding(_SECTION, name, "problem", value, advice, data)
    return Finding(_SECTION, name, "ok", value, data=data)
