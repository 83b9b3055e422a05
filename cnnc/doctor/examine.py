"""examine(): everything looked at, one section after the other."""

from __future__ import annotations

from cnnc.doctor.devices import devices
from cnnc.doctor.finding import Checkup
from cnnc.doctor.hardware import hardware
from cnnc.doctor.software import software
from cnnc.doctor.storage import storage

__all__ = ["examine"]


def examine() -> Checkup:
    """Look at software, devices, hardware and storage; a few seconds, since each device is tried in a process."""
    found, cpu_works = devices()
    return Checkup((*software(), *found, *hardware(), *storage()), cpu_works)
