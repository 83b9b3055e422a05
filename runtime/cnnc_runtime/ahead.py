"""Works ahead in threads, in order, and never further than a short window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from cnnc_runtime.errors import ResourceLimitError
from cnnc_runtime.threads import available_cores

__all__ = ["THREADS", "WINDOW", "Ahead", "Stopped"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")

THREADS = min(available_cores(), 8)
WINDOW = 2 * THREADS

_POLL = 0.1  # seconds until a waiting thread looks again whether it was stopped, or whether time is up
_MOST_STUCK = 64  # threads that may hang in calls that do not return


class Stopped(Exception):  # noqa: N818 - no error: whoever asked for the answers went away
    """Raised inside the stages of a pipeline that was closed."""


@dataclass(eq=False)
class _Job(Generic[Task, Answer]):
    task: Task | None
    since: float | None = None  # when a thread began with it
    thread: threading.Thread | None = None
    answer: Answer | None = None
    error: BaseException | None = None
    is_done: bool = False
    is_late: bool = False


class Ahead(Generic[Task, Answer], Iterator[Answer]):
    """As `map(function, tasks)`, but up to `window` answers are computed before they are asked for.

    `tasks` is drawn from in a thread of its own, and `function` runs in `threads` more: worth it for what leaves
    Python's lock, as Pillow does while it decodes. With no threads, `function` is None and the answers are the
    tasks, drawn ahead. All threads are daemons: one that hangs in a call cannot keep the process from ending.

    Args:
        function: called once a task.
        tasks: closed, if it is a generator, by the thread that draws from it.
        threads: how many call `function`.
        window: the most answers, and tasks on the way to one, at any time.
        timeout: seconds that one call, or without threads one draw, may take; for ever if None.
        late: gives the answer for a task that took longer, or raises; the call is left to itself.
        stop: what `close` sets.
        above: the `stop` of a stage that draws from this one: it ends this one too, even in the middle of a wait.

    Raises:
        ResourceLimitError: 64 calls hang.
        Stopped: it was closed, or `stop` set, while an answer was waited for.
        Exception: whatever `tasks` or `function` raised, when its turn comes.
    """

    def __init__(
        self,
        function: Callable[[Task], Answer] | None,
        tasks: Iterable[Task],
        *,
        threads: int = THREADS,
        window: int = WINDOW,
        timeout: float | None = None,
        late: Callable[[Task | None], Answer] | None = None,
        stop: threading.Event | None = None,
        above: threading.Event | None = None,
    ) -> None:
        self._function, self._tasks, self._window = function, tasks, window
        self._timeout, self._late = timeout, late
        self._stop = stop or threading.Event()
        self._above = above or self._stop
        self._changed = threading.Condition()
        self._pending: deque[_Job[Task, Answer]] = deque()  # in the order of the answers
        self._todo: deque[_Job[Task, Answer]] = deque()
        self._is_drawn = False
        self._stuck = 0
        self._threads: list[threading.Thread] = []
        self._start(self._feed)
        for _ in range(threads if function is not None else 0):
            self._start(self._work)

    def __next__(self) -> Answer:
        with self._changed:
            while not (self._pending and self._pending[0].is_done):
                if self._is_stopped():
                    raise Stopped
                if self._is_drawn and not self._pending:
                    raise StopIteration
                if self._pending and self._is_overdue(self._pending[0]):
                    return self._give_up(self._pending.popleft())
                self._changed.wait(_POLL)
            job = self._pending.popleft()
            self._changed.notify_all()
        if job.error is not None:
            raise job.error
        return cast(Answer, job.answer)

    def close(self, grace: float = 1.0) -> bool:
        """Stop all threads; whether they ended within `grace` seconds, those given up as hanging left aside."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        deadline = time.monotonic() + grace
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _is_stopped(self) -> bool:
        return self._stop.is_set() or self._above.is_set()

    def _is_overdue(self, job: _Job[Task, Answer]) -> bool:
        return self._timeout is not None and job.since is not None and time.monotonic() - job.since > self._timeout

    def _give_up(self, job: _Job[Task, Answer]) -> Answer:
        job.is_late = True
        self._stuck += 1
        self._changed.notify_all()
        self._threads = [thread for thread in self._threads if thread is not job.thread]
        if self._stuck > _MOST_STUCK:
            raise ResourceLimitError(f"{_MOST_STUCK} reads hang: can the storage be reached?")
        if self._function is None:
            self._is_drawn = True
        else:
            self._start(self._work)  # in the place of the one that hangs
        assert self._late is not None
        return self._late(job.task)

    def _start(self, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()

    def _feed(self) -> None:
        tasks = iter(self._tasks)
        try:
            while self._draw(tasks):
                pass
        finally:
            if hasattr(tasks, "close"):
                tasks.close()

    def _draw(self, tasks: Iterator[Task]) -> bool:
        """Whether there may be a further task; room is waited for before one is asked for."""
        job: _Job[Task, Answer] = _Job(None)
        with self._changed:
            while len(self._pending) >= self._window and not self._is_stopped():
                self._changed.wait(_POLL)
            if self._is_stopped():
                return False
            if self._function is None:
                job.since, job.thread = time.monotonic(), threading.current_thread()
            self._pending.append(job)
        try:
            job.task, is_last = next(tasks), False
        except StopIteration:
            is_last = True
        except BaseException as error:
            job.error, is_last = error, True
        with self._changed:
            if is_last:
                self._is_drawn = True
                if job.error is None and not job.is_late:
                    self._pending.remove(job)
            if self._function is None or job.error is not None:
                job.answer, job.is_done = cast("Answer | None", job.task), True
            elif not is_last:
                self._todo.append(job)
            self._changed.notify_all()
        return not is_last and not job.is_late

    def _work(self) -> None:
        assert self._function is not None
        while (job := self._take()) is not None:
            try:
                job.answer = self._function(cast(Task, job.task))
            except BaseException as error:
                job.error = error
            with self._changed:
                job.is_done = True
                self._changed.notify_all()
            if job.is_late:  # it came back; another thread works in its place
                self._stuck -= 1
                return

    def _take(self) -> _Job[Task, Answer] | None:
        with self._changed:
            while not self._todo:
                if self._is_stopped() or self._is_drawn:
                    return None
                self._changed.wait(_POLL)
            if self._is_stopped():
                return None
            job = self._todo.popleft()
            job.since, job.thread = time.monotonic(), threading.current_thread()
            return job
