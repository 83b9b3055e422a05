"""How many CPU cores this process really has: affinity, cgroup quota and hyper-threads counted."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_cores", "cpu_quota", "default_threads"]

_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


def default_threads(cores: int | None = None, machine: int | None = None) -> int | None:
    """Threads for one run: None, onnxruntime's own choice, where this process has the whole machine.

    onnxruntime counts the machine's physical cores and pins its threads to them. It sees neither a container's
    quota nor an affinity mask: there its threads would wait for each other.

    Args:
        cores: what this process has; `available_cores()` if None.
        machine: what the machine has, logical cores; `os.cpu_count()` if None.
    """
    machine = machine or os.cpu_count() or 1
    allowed = _affinity()
    cores = cores or available_cores()
    return None if len(allowed) >= machine and cores >= _physical(allowed) else cores


def available_cores() -> int:
    """Physical cores this process may use, at least 1: those of its affinity mask, capped by its CPU quota.

    A quota of 2.5 cores counts as 2: a third thread would be throttled, and the other two would wait for it.
    """
    cores = _physical(_affinity())
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(membership: Path = _MEMBERSHIP, cgroups: Path = _CGROUPS) -> float | None:
    """Cores that the control groups of this process allow, the tightest of all parents; None for any number."""
    found = []
    for line in _read(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in [cgroups] if not controllers else [cgroups / controllers, cgroups / "cpu"]:
            folder = root / path.lstrip("/")
            # Inside a container the path may be the host's, which is not mounted: its parents still are.
            found += [_quota(parent) for parent in (folder, *folder.parents) if parent.is_relative_to(root)]
    return min((quota for quota in found if quota is not None), default=None)


def _quota(folder: Path) -> float | None:
    limit = _read(folder / "cpu.max").split()  # version 2: "150000 100000" or "max 100000"
    if not limit:
        limit = [_read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()]
    try:
        quota, period = (float(text) for text in limit)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical(logical: set[int]) -> int:
    """Physical cores behind these logical ones: two hyper-threads of a core share its arithmetic units."""
    siblings = (_read(_CPUS / f"cpu{index}/topology/thread_siblings_list").strip() for index in sorted(logical))
    return len({group or str(index) for index, group in enumerate(siblings)})


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
