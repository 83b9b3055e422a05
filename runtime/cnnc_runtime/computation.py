"""A feed to outputs on whatever device: errors are ours, a batch that memory does not hold is divided."""

from __future__ import annotations

import math
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from cnnc_runtime.batch_axis import Array, Feed, batch_of, has_open_batch, is_samplewise
from cnnc_runtime.errors import CnncError, ResourceLimitError, UsageError
from cnnc_runtime.executor import Execute, executors
from cnnc_runtime.opening import Opened
from cnnc_runtime.session import model_error
from cnnc_runtime.shapes import Shapes
from cnnc_runtime.splitting import Splitter
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Computation"]


class Computation:
    """Computes the outputs of checked feeds.

    Args:
        opened: the session and its device.
        inputs, outputs: what it takes and gives.
        shapes: what will be run.
        ranges: the values that inputs may take, (lowest, highest) by name, where the net was compiled for a range.

    Attributes:
        execute: (output names, feed) -> outputs, with onnxruntime's own errors, which are for `recover`.
        seconds: of a run of one sample, as `is_samplewise` found it; None before, and where it never ran.
    """

    def __init__(
        self,
        opened: Opened,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        shapes: Sequence[Shapes],
        ranges: Mapping[str, tuple[float, float]],
    ) -> None:
        self._name, self._inputs, self._ranges = opened.name, inputs, ranges
        self._names = [spec.name for spec in outputs]
        this = weakref.proxy(self)  # no cycles: an engine that is dropped frees its session at once
        self._whole, self._on_device = executors(
            opened, inputs, outputs, shapes, lambda feed: bool(this.is_samplewise(feed))
        )
        self._split = Splitter(np.concatenate, self._name)
        self._split_tensors = Splitter(_join_tensors, self._name)
        self.execute: Execute = self._whole
        self.seconds: float | None = None
        self._is_samplewise: bool | None = None
        self._lock = threading.RLock()

    def host(self, feed: Feed) -> Sequence[Array]:
        """Arrays in host memory to arrays in host memory; raises as `Engine.run`."""
        try:
            return self.execute(self._names, feed)
        except Exception as error:
            return self.recover(feed, error)

    def on_device(self, feed: Feed) -> Sequence[Any]:
        """Tensors on the GPU to tensors on the GPU; raises as `Engine.run`."""
        return self._split_tensors(lambda part: self._attempt(self._on_device, part), self.is_samplewise, feed)

    def any(self, feed: Feed) -> Sequence[Any]:
        """`host` or `on_device`, whichever the feed is for."""
        return self.host(feed) if isinstance(next(iter(feed.values())), np.ndarray) else self.on_device(feed)

    def recover(self, feed: Feed, error: Exception) -> Sequence[Array]:
        """The outputs after all, in parts, if `error` was that memory ran out; else our error for it, raised."""
        failure = error if isinstance(error, CnncError) else model_error(self._name, error)
        if not isinstance(failure, ResourceLimitError):
            raise failure from error
        results = self._in_parts(self._names, feed)
        if self._split.limit is not None and self.execute is self._whole:
            self.execute = self._in_parts  # later batches start at the size that fitted
        return results

    def _in_parts(self, _: list[str], feed: Feed) -> Sequence[Array]:
        return self._split(lambda part: self._attempt(self._whole, part), self.is_samplewise, feed)

    def is_samplewise(self, feed: Mapping[str, Any]) -> bool:
        """Whether samples of shapes like this feed's are independent: tried once, on random ones."""
        with self._lock:
            if self._is_samplewise is None:
                self._is_samplewise = False  # for the trial itself, which may come to ask
                self._is_samplewise = has_open_batch(self._inputs) and self._try_samples(feed)
            return self._is_samplewise

    def _try_samples(self, feed: Mapping[str, Any]) -> bool:
        shapes = {name: tuple(array.shape[1:]) for name, array in feed.items()}
        dtypes = {spec.name: spec.dtype for spec in self._inputs}
        try:
            return is_samplewise(self._timed, shapes, dtypes, self._ranges)
        except CnncError:  # the net refuses random values, or a batch of 2
            return False

    def _timed(self, feed: Feed) -> Sequence[Array]:
        start = time.perf_counter()
        outputs = self._attempt(self._whole, feed)
        if batch_of(feed) == 1:
            self.seconds = min(self.seconds or math.inf, time.perf_counter() - start)
        return outputs

    def _attempt(self, execute: Execute | None, feed: Mapping[str, Any]) -> Sequence[Any]:
        assert execute is not None  # tensors on a GPU are let through for an engine there only
        try:
            return execute(self._names, dict(feed))
        except CnncError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise model_error(self._name, error) from error

    def retire(self, reason: str) -> None:
        """Free the session: every run from now on is refused, with that reason."""

        def refuse(names: list[str], feed: Feed) -> NoReturn:
            raise UsageError(reason)

        self._whole = self._on_device = self.execute = refuse


def _join_tensors(parts: list[Any]) -> Any:
    return sys.modules["torch"].cat(parts)
