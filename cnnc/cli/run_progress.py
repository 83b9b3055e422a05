"""What `cnnc run` says on stderr while it works: a bar with rate and time left, and each failed item."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from cnnc.cli import console

if TYPE_CHECKING:
    from rich.progress import Progress

    from cnnc_runtime import Failure, Result
    from cnnc_runtime.pipeline.stream import Results

__all__ = ["Skipped", "rate", "with_bar"]

BAR_FROM = 32  # files; fewer are done before a bar could be read


class Skipped:
    """Names failed items as they come; but the first only when it turns out not to be all there is."""

    def __init__(self) -> None:
        self._count = 0
        self._first: Failure | None = None

    def saw(self, result: Result | Failure) -> None:
        """Take note of one item."""
        from cnnc_runtime import Failure

        self._count += 1
        if self._first is not None:
            console.note(f"skipped {self._first.error}")
            self._first = None
        if isinstance(result, Failure):
            if self._count == 1:
                self._first = result
            else:
                console.note(f"skipped {result.error}")

    @property
    def only_one(self) -> Failure | None:
        """The failure that was the only item."""
        return self._first


def with_bar(
    results: Results, files: int, finished: int, count: Callable[[], int | None]
) -> Generator[list[Result | Failure]]:
    """The same results, with a bar if there are many files, or one of many items, and someone is looking.

    Args:
        results: a batch at a time.
        files: how many there are.
        finished: items that were before this run.
        count: how many items there are, if that can be told.
    """
    if not sys.stderr.isatty():
        yield from results
        return
    total = count()
    if max(files, total or 0) < BAR_FROM:
        yield from results
        return
    with _bar() as bar:
        task = bar.add_task("running", total=total, completed=finished)
        for batch in results:
            yield batch
            bar.advance(task, len(batch))


def rate(items: int, since: float) -> str:
    """`"12.1 s (165 items/s)"`, from the start as `time.monotonic` had it."""
    seconds = max(time.monotonic() - since, 1e-9)
    if not items:
        return f"{seconds:.1f} s"
    return f"{seconds:.1f} s ({items / seconds:.{0 if items >= 10 * seconds else 2}f} items/s)"


def _bar() -> Progress:
    from rich import progress

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> str:
            return f"{task.speed:,.0f}/s" if task.speed else ""

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Rate(),
        progress.TimeRemainingColumn(),
        console=console.err,
        transient=True,
    )
