"""Dynamic batching: calls that arrive together run together, and each gets its own rows back."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnc_runtime.batch_axis import Array, Feed
from cnnc_runtime.errors import UsageError

__all__ = ["ALONE", "Batcher", "Finished", "Request", "Run", "run_together"]

_IDLE = 2.0  # seconds without a call after which the thread ends: it would keep a forgotten engine alive

ALONE = sys.maxsize  # more samples than any batch holds: such a call neither waits nor is waited for

Run = Callable[[Feed], Sequence[Array]]


@dataclass(eq=False, slots=True)
class Request:
    """One call: what to feed, what to make of its rows of the outputs, and the future that gets it.

    `samples` is `ALONE` for a call that must not be joined with others.
    """

    feed: Feed
    finish: Callable[[Sequence[Array]], Any]
    samples: int
    due: float = 0.0  # by the monotonic clock
    future: Future[Any] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[tuple[int, ...], ...]:
        """What requests must have in common to run together: the shapes of their samples."""
        return tuple(array.shape[1:] for array in self.feed.values())


class Finished(Future[Any]):
    """A future that has its result from the start.

    The lock and the lists that a future waits with take longer to make than a small net takes to run: they are made
    for who asks for more than the result.
    """

    _making = threading.Lock()

    def __init__(self, result: Any) -> None:
        self._given = result

    def result(self, timeout: float | None = None) -> Any:
        """What it was made with; `timeout` does not matter."""
        return self._given

    def done(self) -> bool:
        """True."""
        return True

    def __getattr__(self, name: str) -> Any:
        """What `Future.__init__` would have set."""
        with self._making:
            if name not in self.__dict__:
                super().__init__()
                super().set_result(self._given)
        return object.__getattribute__(self, name)


class Batcher:
    """Joins what many threads submit into batches, and runs these one after another in a thread of its own.

    Args:
        run: {input name: array} -> outputs, in which every sample has its row.
        max_batch: samples of one run; a single request may hold more, and runs alone.
        max_wait: seconds that a request waits for others at most, once no batch is running.

    Raises:
        UsageError: `max_batch` is below 1 or `max_wait` negative.
    """

    def __init__(self, run: Run, max_batch: int, max_wait: float) -> None:
        if max_batch < 1:
            raise UsageError(f"`max_batch` is {max_batch}: at least 1")
        if not 0 <= max_wait < float("inf"):
            raise UsageError(f"`max_wait` is {max_wait}: seconds, at least 0")
        self._run, self._max_batch, self._max_wait = run, max_batch, max_wait
        self._waiting: deque[Request] = deque()
        self._samples = 0  # of all that wait
        self._free = 0.0  # when the last batch ended
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, request: Request) -> Future[Any]:
        """Queue one call: its future gets what it makes of its rows of the outputs, or the error of its own run.

        Raises:
            UsageError: the batcher is closed.
        """
        request.due = time.monotonic() + self._max_wait
        with self._changed:
            if self._is_closed:
                raise UsageError("the engine is closed")
            self._waiting.append(request)
            self._samples += request.samples
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cnnc-batcher", daemon=True)
                self._thread.start()
            elif len(self._waiting) == 1 or self._samples >= self._max_batch:
                self._changed.notify()
        return request.future

    def close(self) -> None:
        """Run what is queued, then end; further calls are refused."""
        with self._changed:
            self._is_closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _work(self) -> None:
        while group := self._next_group():
            running = [request for request in group if request.future.set_running_or_notify_cancel()]
            if running:
                run_together(self._run, running)
                self._free = time.monotonic()
            del group, running  # an idle thread should hold nobody's arrays

    def _next_group(self) -> list[Request]:
        """Requests of equal shapes, the oldest first; empty when the thread should end."""
        with self._changed:
            while not self._waiting:
                if self._is_closed or not self._changed.wait(_IDLE):
                    if self._waiting:  # one came as the time ran out
                        break
                    self._thread = None
                    return []
            # Who got a result just now may call again at once, and is worth the same wait as the first caller ever was
            due = max(self._waiting[0].due, self._free + self._max_wait)
            while not self._is_closed and self._samples < self._max_batch and (left := due - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._take()

    def _take(self) -> list[Request]:
        group: list[Request] = []
        left: deque[Request] = deque()
        samples, kind = 0, self._waiting[0].kind
        for request in self._waiting:
            if request.kind == kind and (not group or samples + request.samples <= self._max_batch):
                group.append(request)
                samples += request.samples
            else:
                left.append(request)
        self._waiting = left
        self._samples -= samples
        return group


def run_together(run: Run, requests: Sequence[Request]) -> None:
    """Run `requests` as one batch and hand each its rows; if that fails, each alone, so that errors find their own."""
    if len(requests) == 1:
        _run_alone(run, requests[0])
        return
    try:
        feed = {name: np.concatenate([request.feed[name] for request in requests]) for name in requests[0].feed}
        outputs = run(feed)
    except Exception:
        for request in requests:
            _run_alone(run, request)
        return
    start = 0
    for request in requests:
        rows = slice(start, start + request.samples)
        start = rows.stop
        # Copies: a view would keep the whole batch in memory for as long as one caller keeps its rows.
        _settle(request, [output[rows].copy() for output in outputs])


def _run_alone(run: Run, request: Request) -> None:
    try:
        outputs = run(request.feed)
    except Exception as error:
        request.future.set_exception(error)
    else:
        _settle(request, outputs)


def _settle(request: Request, outputs: Sequence[Array]) -> None:
    try:
        request.future.set_result(request.finish(outputs))
    except Exception as error:
        request.future.set_exception(error)
