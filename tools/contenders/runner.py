"""A child process that lives from turn to turn, stopped in between: loaded once, and quiet while others run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from cnnc_runtime.errors import ResourceLimitError

__all__ = ["Runner", "available_memory", "busy_seconds"]

_ROOT = Path(__file__).resolve().parents[2]


class Runner:
    """One `python -m tools.contenders.run`, brought up by the constructor.

    Its threads may spin when a call has ended, and a compiler's workers wait: SIGSTOP between turns takes the cores
    from all of them. It is killed when this process dies.

    Attributes:
        answer: what it said when its first call was done.

    Raises:
        RuntimeError: it fails; the last line says why.
        ResourceLimitError: an answer takes longer than `timeout` seconds.
    """

    def __init__(self, question: dict[str, Any], about: str, timeout: float) -> None:
        self._about, self._timeout = about, timeout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed by close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.contenders.run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))},
            text=True,
        )
        try:
            self.answer = self._ask(question)
        except BaseException:
            self.close()
            raise
        self._process.send_signal(signal.SIGSTOP)

    def turn(self, seconds: float) -> dict[str, Any]:
        """Time calls for about `seconds`; `others` are the cores that other processes kept busy meanwhile.

        Raises:
            RuntimeError, ResourceLimitError: as above; it is closed then.
        """
        try:
            before = time.perf_counter(), busy_seconds(), busy_seconds(self._process.pid)
            self._process.send_signal(signal.SIGCONT)
            answer = self._ask({"seconds": seconds})
            self._process.send_signal(signal.SIGSTOP)
            after = time.perf_counter(), busy_seconds(), busy_seconds(self._process.pid)
        except BaseException:
            self.close()
            raise
        wall, busy, own = (end - begin for begin, end in zip(before, after, strict=True))
        return answer | {"others": (busy - own) / wall}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(self._timeout, stop)
        watch.start()
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if late.is_set():
            raise ResourceLimitError(f"{self._about}: takes more than {self._timeout:g} s: stopped")
        if not line:
            raise RuntimeError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")
        return f"{said}\n{self._about}: crashes its process (signal {-code})" if code < 0 else said


def busy_seconds(process: int | None = None, proc: Path = Path("/proc")) -> float:
    """CPU time of the whole machine so far, what a hypervisor took included, or of one process; 0 where unknown."""
    try:
        text = (proc / (str(process) if process else "") / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    if process:
        ticks = text.rpartition(")")[2].split()[11:13]  # utime, stime
    else:
        user, nice, system, _idle, _iowait, *others = text.split("\n", 1)[0].split()[1:9]
        ticks = [user, nice, system, *others]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that processes can still take; None where the system does not say."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None
