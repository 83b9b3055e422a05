"""The machine that figures were measured on, as plain data; each fact is read from the system, or left out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnnc_runtime.threads import available_cores, cpu_quota

__all__ = ["cpu_flags", "cpu_model", "describe_machine", "memory_limit", "memory_size", "versions"]

_CPUINFO = Path("/proc/cpuinfo")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_LIBRARIES = ("cnnc", "onnxruntime-gpu", "onnxruntime", "numpy", "torch", "onnx", "onnx-ir")
_NO_LIMIT = 2**60  # bytes; version 1 of control groups writes a number beyond this for none


def describe_machine() -> dict[str, Any]:
    """CPU, cores, memory, system and versions, for a report that must say where its figures come from."""
    return {
        "cpu": cpu_model(),
        "logical_cpus": os.cpu_count(),
        "usable_cores": available_cores(),
        "cpu_quota": cpu_quota(),
        "memory_bytes": memory_size(),
        "memory_limit_bytes": memory_limit(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(_LIBRARIES),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed; none is imported."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Its name, as the system has it."""
    match = re.search(r"^(?:model name|Processor|Model)\s*:\s*(.+)$", _read(cpuinfo), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine() or "unknown"


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """The instruction sets, as Linux names them; empty where it does not say."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read(cpuinfo), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def memory_size() -> int | None:
    """Bytes of the machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def memory_limit(membership: Path = _MEMBERSHIP, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that the control groups of this process allow, the tightest of them and their parents; None for any."""
    found = []
    for line in _read(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        folder = root / path.lstrip("/")
        for parent in (folder, *folder.parents):
            if parent.is_relative_to(root):
                found += [_read(parent / name).strip() for name in ("memory.max", "memory.limit_in_bytes")]
    return min((int(text) for text in found if text.isdecimal() and int(text) < _NO_LIMIT), default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
