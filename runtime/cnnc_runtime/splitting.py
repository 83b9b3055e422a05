"""A batch that does not fit in memory runs in halves, and says so; later ones start at the size that fitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnc_runtime.batch_axis import batch_of
from cnnc_runtime.errors import ResourceLimitError

__all__ = ["SplittingRun"]

_log = logging.getLogger("cnnc")


class SplittingRun:
    """Runs a feed in parts of the largest batch that memory is known to hold.

    Args:
        run: {input name: array} -> outputs; raises ResourceLimitError where memory runs out.
        may_split: whether samples are independent, so that parts of a batch give the rows of the whole.
        join: puts the parts' outputs together along the first axis, `numpy.concatenate` or `torch.cat`.
        name: what messages call the model.

    Attributes:
        limit: samples of the largest part; None as long as memory has held everything.
    """

    def __init__(
        self,
        run: Callable[[Mapping[str, Any]], Sequence[Any]],
        may_split: Callable[[Mapping[str, Any]], bool],
        join: Callable[[list[Any]], Any],
        name: str,
    ) -> None:
        self._run, self._may_split, self._join, self._name = run, may_split, join, name
        self.limit: int | None = None

    def __call__(self, feed: Mapping[str, Any]) -> list[Any]:
        """The outputs of the whole batch.

        Raises:
            ResourceLimitError: not even one sample fits, or the batch cannot be divided.
        """
        batch = batch_of(feed)
        if batch is not None and self.limit is not None and batch > self.limit:
            return self._in_parts(feed, batch)
        try:
            return list(self._run(feed))
        except ResourceLimitError as error:
            if batch is None or batch < 2 or not self._may_split(feed):
                raise
            # Another thread may have found a smaller size meanwhile
            self.limit = min(self.limit or batch, batch // 2)
            _log.warning("%s: out of memory at batch %d, running %d at a time", self._name, batch, self.limit)
            del error
        return self._in_parts(feed, batch)

    def _in_parts(self, feed: Mapping[str, Any], batch: int) -> list[Any]:
        parts, start = [], 0
        while start < batch:
            stop = min(batch, start + (self.limit or batch))
            parts.append(self({name: array[start:stop] for name, array in feed.items()}))
            start = stop
        return [self._join(list(outputs)) for outputs in zip(*parts, strict=True)]
