"""Where cached files live: a private folder, bounded in size, whose content is believed by its hash only.

The environment variable CNNC_CACHE names the folder, and switches the cache on; `0` switches it off for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["cache_folder", "content_hash", "evict", "is_ours", "private_folder"]

_CHUNK = 4 * 2**20

_log = logging.getLogger("cnnc")


def cache_folder(wanted: bool | None = None) -> Path | None:
    """The folder to cache in, made if it is missing; None where caching is off.

    Args:
        wanted: True and False decide; None leaves it to CNNC_CACHE. `CNNC_CACHE=0` always means off.
    """
    setting = os.environ.get("CNNC_CACHE", "")
    if wanted is False or setting == "0" or (wanted is None and not setting):
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return private_folder(Path(setting) if setting else home / "cnnc")


def private_folder(path: Path) -> Path | None:
    """`path` as a folder that only this user can write to, made if it is missing; None, with a warning, if it is not.

    Whoever can write there decides what this process computes.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        _log.warning("no cache: %s cannot be used: %s", path, error.strerror)
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        _log.warning("no cache: others can write to %s: chmod 700, or set CNNC_CACHE to a folder of yours", path)
        return None
    return path


def is_ours(path: Path) -> bool:
    """Whether it is a regular file, no link, of this user, that nobody else can write to."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (
        found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def content_hash(content: Path | bytes) -> str:
    """SHA-256 over the SHA-256 of each 4 MiB, in hexadecimal: the parts are hashed on several cores.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(content, bytes):
        return _tree_hash(memoryview(content))
    with content.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return _tree_hash(memoryview(b""))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            return _tree_hash(view)


def _tree_hash(view: memoryview) -> str:
    starts = range(0, len(view), _CHUNK)

    def digest(start: int) -> bytes:
        with view[start : start + _CHUNK] as part:
            return hashlib.sha256(part).digest()

    if len(starts) < 2:
        parts = [digest(start) for start in starts]
    else:
        with ThreadPoolExecutor(min(8, len(starts), os.cpu_count() or 1)) as pool:
            parts = list(pool.map(digest, starts))
    return hashlib.sha256(b"".join(parts) + len(view).to_bytes(8, "little")).hexdigest()


def evict(folder: Path, pattern: str, limit: int, keep: Path) -> None:
    """Remove the files least recently used until those matching `pattern` hold at most `limit` bytes; `keep` stays."""
    found = []
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        if path != keep:
            with contextlib.suppress(OSError):  # another process was faster, or (Windows) has it open
                path.unlink()
                total -= size
