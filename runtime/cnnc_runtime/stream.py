"""Runs a stream of inputs: read ahead in a thread, run in batches, yielded one by one in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cnnc_runtime.batching import Request, Run, run_together

__all__ = ["in_batches", "read_ahead"]

_END = object()


def read_ahead(items: Iterable[Any], window: int) -> Iterator[Any]:
    """The same items, up to `window` of them fetched in a thread before they are asked for.

    An error of the iterable's is raised where it occurred, after the items before it.
    """
    fetched: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(window)
    is_stopped = threading.Event()

    def put(item: Any, error: BaseException | None = None) -> bool:
        while not is_stopped.is_set():
            try:
                fetched.put((item, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:
            put(_END, error)
        else:
            put(_END)

    thread = threading.Thread(target=fetch, name="cnnc-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = fetched.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:  # the caller may have stopped early
        is_stopped.set()


def in_batches(open_request: Callable[[Any], Request], run: Run, items: Iterable[Any], batch: int) -> Iterator[Any]:
    """The result of every item, in order; consecutive ones of equal shape run together, up to `batch` samples.

    Which run together depends on the items alone, not on time, so that a second pass gives the same bits. What an
    item raises is raised in its place, after the results of those before it.
    """
    return read_ahead(_results(open_request, run, read_ahead(items, 2 * batch), batch), 2 * batch)


def _results(open_request: Callable[[Any], Request], run: Run, items: Iterable[Any], batch: int) -> Iterator[Any]:
    group: list[Request] = []
    try:
        for item in items:
            request = open_request(item)
            if group and (request.kind != group[0].kind or sum(r.samples for r in group) + request.samples > batch):
                full, group = group, []
                yield from _finish(run, full)
            group.append(request)
    except Exception:
        yield from _finish(run, group)
        raise
    yield from _finish(run, group)


def _finish(run: Run, group: list[Request]) -> Iterator[Any]:
    if group:
        run_together(run, group)
    for request in group:
        yield request.future.result()
