"""Control-C during a long command: the first stops it cleanly, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Interrupts", "leave_at_once"]


class Interrupts:
    """While this context is open, SIGINT raises KeyboardInterrupt, but never between `with held():` and its end."""

    def __init__(self) -> None:
        self._count = 0
        self._is_held = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a job in the background
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What must be done whole: an interrupt waits for its end."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._count:
            raise KeyboardInterrupt

    def _handle(self, _: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            leave_at_once()
        if not self._is_held:
            raise KeyboardInterrupt


def leave_at_once() -> None:
    """End the process with 130, without waiting for threads: one in the engine cannot be stopped otherwise."""
    os._exit(130)
