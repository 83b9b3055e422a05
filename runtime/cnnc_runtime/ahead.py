"""Works ahead in threads, in order, and never further than a short window."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["WINDOW", "ahead"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_THREADS = min(os.cpu_count() or 1, 8)
WINDOW = 2 * _THREADS


def ahead(function: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
    """As `map`, but up to `WINDOW` answers are computed before they are asked for.

    Worth it for what leaves Python's lock, as Pillow does while it decodes.
    """
    pending: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(function, task))
                if len(pending) == WINDOW:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # the caller stopped early
            for future in pending:
                future.cancel()
