"""The most memory that a process took."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["peak_bytes"]


def peak_bytes() -> int:
    """Resident, of this process or of one that it started and that has ended (compilers are)."""
    status = Path("/proc/self/status")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if status.exists():  # the peak of the process that forked this one is not in it
        own = int(re.search(r"VmHWM:\s+(\d+)", status.read_text(encoding="ascii"))[1])  # type: ignore[index]
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)  # KiB on Linux
