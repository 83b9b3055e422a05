"""A batch that does not fit in memory runs in halves, and says so; later ones start at the size that fitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnc_runtime.batch_axis import batch_of
from cnnc_runtime.errors import ResourceLimitError

__all__ = ["Splitter"]

_log = logging.getLogger("cnnc")


Run = Callable[[Mapping[str, Any]], Sequence[Any]]
MaySplit = Callable[[Mapping[str, Any]], bool]


class Splitter:
    """Runs a feed in parts of the largest batch that memory is known to hold.

    Args:
        join: puts the parts' outputs together along the first axis, `numpy.concatenate` or `torch.cat`.
        name: what messages call the model.

    Attributes:
        limit: samples of the largest part; None as long as memory has held everything.
    """

    def __init__(self, join: Callable[[list[Any]], Any], name: str) -> None:
        self._join, self._name = join, name
        self.limit: int | None = None

    def __call__(self, run: Run, may_split: MaySplit, feed: Mapping[str, Any]) -> list[Any]:
        """The outputs of the whole batch.

        Args:
            run: {input name: array} -> outputs; raises ResourceLimitError where memory runs out.
            may_split: whether the samples of a feed are independent, so that parts give the rows of the whole.
            feed: a batch.

        Raises:
            ResourceLimitError: not even one sample fits, or the batch cannot be divided.
        """
        batch = batch_of(feed)
        if batch is None or self.limit is None or batch <= self.limit:
            try:
                return list(run(feed))
            except ResourceLimitError:
                if batch is None or batch < 2 or not may_split(feed):
                    raise
            # Another thread may have found a smaller size meanwhile
            self.limit = min(self.limit or batch, batch // 2)
            _log.warning("%s: out of memory at batch %d, running %d at a time", self._name, batch, self.limit)
        parts, start = [], 0
        while start < batch:
            stop = min(batch, start + self.limit)
            parts.append(self(run, may_split, {name: array[start:stop] for name, array in feed.items()}))
            start = stop
        return [self._join(list(outputs)) for outputs in zip(*parts, strict=True)]
