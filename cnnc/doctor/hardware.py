"""The CPU and its instruction sets, threads against the quota of the control group, memory against its limit."""

from __future__ import annotations

import os
import re
from collections.abc import Set as AbstractSet
from pathlib import Path

from cnnc.doctor.finding import Finding
from cnnc.machine import cpu_flags, cpu_model, memory_limit, memory_size
from cnnc_runtime.threads import available_cores, cpu_quota, default_threads

__all__ = ["cpu_features", "hardware", "memory_finding", "threads_finding"]

_SECTION = "hardware"
_LITTLE = 2**30  # bytes: a ResNet-50 (100 MB of weights) takes six times its weights to compile

# Name here, and what Linux calls it in /proc/cpuinfo (any one of them).
_FEATURES = {
    "AVX2": ("avx2",),
    "FMA": ("fma",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "AVX-512 BF16": ("avx512_bf16",),
    "AMX": ("amx_int8", "amx_bf16"),
    "NEON": ("asimd", "neon"),
    "dot product": ("asimddp",),
    "I8MM": ("i8mm",),
    "SVE": ("sve",),
}


def hardware() -> list[Finding]:
    """CPU, its features, threads and memory."""
    return [
        Finding(_SECTION, "CPU", "ok", cpu_model(), data=cpu_model()),
        cpu_features(cpu_flags()),
        threads_finding(os.cpu_count() or 1, available_cores(), cpu_quota(), default_threads()),
        memory_finding(memory_size(), _available(), memory_limit()),
    ]


def cpu_features(flags: AbstractSet[str]) -> Finding:
    """What there is, and which kernels of onnxruntime's (MLAS picks them by the CPU, as it starts) that means."""
    if not flags:
        return Finding(_SECTION, "CPU features", "ok", "this system does not list them", data=[])
    there = [name for name, spellings in _FEATURES.items() if flags & set(spellings)]
    if "NEON" in there:
        kernels = "float32 by NEON kernels, int8 by " + ("I8MM" if "I8MM" in there else "NEON") + " ones"
    elif "AVX2" in there and "FMA" in there:
        fast = "AVX-512" if "AVX-512" in there else "AVX2"
        kernels = f"float32 by {fast} kernels, int8 by {_int8_kernels(there, fast)} ones"
    else:
        return Finding(
            _SECTION,
            "CPU features",
            "problem",
            f"{', '.join(there) or 'none of note'}: no AVX2, so onnxruntime falls back to slow kernels",
            "use a CPU since 2013, or let the virtual machine pass its host's features on (CPU model: host)",
            there,
        )
    return Finding(_SECTION, "CPU features", "ok", f"{', '.join(there)}: {kernels}", data=there)


def _int8_kernels(there: list[str], fast: str) -> str:
    return next((name for name in ("AMX", "VNNI") if name in there), fast)


def threads_finding(logical: int, cores: int, quota: float | None, default: int | None) -> Finding:
    """How many threads a run gets, and of what."""
    allowed = f"a quota of {quota:g}" if quota is not None else "no quota"
    threads = "one a physical core (onnxruntime's own choice)" if default is None else f"{default} (what is usable)"
    value = f"{logical} logical CPUs, {cores} usable cores, {allowed}; threads of a run: {threads}"
    data = {"logical": logical, "usable": cores, "quota": quota, "default": default}
    if quota is not None and quota < 1:
        advice = "raise the container's CPU limit to a whole core or more: every run is stopped until its next period"
        return Finding(_SECTION, "threads", "problem", value, advice, data)
    return Finding(_SECTION, "threads", "ok", value, data=data)


def memory_finding(total: int | None, available: int | None, limit: int | None) -> Finding:
    """Memory, what is free of it, and the control group's limit; all in bytes."""
    parts = [f"{_gib(total)} in all" if total is not None else "size not known"]
    parts += [f"{_gib(available)} free"] if available is not None else []
    parts += [f"limited to {_gib(limit)} by the control group" if limit is not None else "no limit"]
    data = {"total": total, "available": available, "limit": limit}
    usable = min(size for size in (total, available, limit, _LITTLE) if size is not None)
    if usable < _LITTLE:
        advice = "running needs the weights and activations, compiling six times the weights: free or allow more"
        return Finding(_SECTION, "memory", "problem", ", ".join(parts), advice, data)
    return Finding(_SECTION, "memory", "ok", ", ".join(parts), data=data)


def _available() -> int | None:
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
