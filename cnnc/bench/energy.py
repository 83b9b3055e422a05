"""Energy meters: Intel's and AMD's RAPL counters for the CPU packages, NVML's for a GPU; read before and after."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

__all__ = ["Meter", "cpu_meter", "gpu_meter", "meter_for"]

_POWERCAP = Path("/sys/class/powercap")

Meter = Callable[[], Callable[[], float]]
"""Started, it answers what tells the joules since."""


def meter_for(device: str) -> tuple[Meter | None, str]:
    """The meter of a device, `cpu` or `cuda:0`, and its name; or None and why there is none."""
    return cpu_meter() if device == "cpu" else gpu_meter(int(device.partition(":")[2] or 0))


def cpu_meter(powercap: Path = _POWERCAP) -> tuple[Meter | None, str]:
    """RAPL, summed over the packages: the whole CPU's energy, whoever uses it; the counters wrap around."""
    packages = [zone for zone in sorted(powercap.glob("*-rapl:*")) if _text(zone / "name").startswith("package")]
    if not packages:
        return None, "energy is not exposed: no RAPL counter in /sys/class/powercap (a virtual machine has none)"
    if any(not _text(zone / "energy_uj") for zone in packages):
        return None, f"energy is not readable: {packages[0] / 'energy_uj'} is for root alone"

    def start() -> Callable[[], float]:
        before = [_microjoules(zone) for zone in packages]

        def joules() -> float:
            spent = 0
            for zone, was in zip(packages, before, strict=True):
                now = _microjoules(zone)
                spent += now - was if now >= was else now - was + int(_text(zone / "max_energy_range_uj") or 0)
            return spent / 1e6

        return joules

    return start, "RAPL, the whole CPU package"


def gpu_meter(index: int) -> tuple[Meter | None, str]:
    """NVML's nvmlDeviceGetTotalEnergyConsumption (millijoules; Volta and newer): the whole GPU's energy."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        return None, f"energy is not exposed: {error}"
    handle, first = ctypes.c_void_p(), ctypes.c_ulonglong()
    if (
        nvml.nvmlInit_v2() != 0
        or nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0
        or nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(first)) != 0
    ):
        return None, "energy is not exposed: this GPU has no counter that NVML reads"

    def read() -> int:
        value = ctypes.c_ulonglong()
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(value))
        return value.value

    def start() -> Callable[[], float]:
        before = read()
        return lambda: (read() - before) / 1e3

    return start, "NVML, the whole GPU"


def _microjoules(zone: Path) -> int:
    return int(_text(zone / "energy_uj") or 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
