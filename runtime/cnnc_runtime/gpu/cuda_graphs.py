"""CUDA graphs: a batch padded to one of a few sizes, whose kernels are launched as one recorded graph.

For small nets at small batches the launches cost more than the kernels. A graph replays at fixed addresses and
shapes, so each bucket has buffers of its own. The first answer of each is compared with a plain run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnc_runtime.batch_axis import Array, Feed, batch_of, is_close
from cnnc_runtime.gpu.binding import Binding, Buffers
from cnnc_runtime.providers import load_onnxruntime

__all__ = ["DEFAULT_BUCKETS", "GraphRunner", "without_graph"]

DEFAULT_BUCKETS = (1, 2, 4, 8, 16, 32)
_MOST_GRAPHS = 32  # each holds its buffers for the life of the session

_log = logging.getLogger("cnnc")


@dataclass
class _Bucket:
    identity: int
    buffers: Buffers
    is_right: bool


def run_options(graph: int) -> Any:
    """Options of a run that captures or replays graph number `graph`; -1 stands for none."""
    options = load_onnxruntime().RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


def without_graph() -> Any:
    """Options of a plain run in a session that has graphs."""
    return run_options(-1)


class GraphRunner:
    """Runs batches through graphs, one for each bucket and shape of a sample.

    Args:
        binding: of a session with the provider option enable_cuda_graph.
        sizes: the buckets, in samples; larger batches run without a graph.
        may_pad: whether samples of a feed are independent, so that padding does not change the others' outputs.
    """

    def __init__(self, binding: Binding, sizes: Sequence[int], may_pad: Callable[[Feed], bool]) -> None:
        self._binding, self._sizes, self._may_pad = binding, sorted(set(sizes)), may_pad
        self._buckets: dict[tuple[int, tuple[tuple[int, ...], ...]], _Bucket] = {}
        self._plain = without_graph()

    def run(self, feed: Feed) -> list[Array]:
        """The outputs for host arrays; their rows for the padding are cut off."""
        batch = batch_of(feed)
        size = next((size for size in self._sizes if batch is not None and size >= batch), None)
        if batch is None or size is None or (size != batch and not self._may_pad(feed)):
            return self._binding.run(feed, self._plain)
        padded = {name: _pad(array, size) for name, array in feed.items()}
        key = (size, tuple(array.shape[1:] for array in padded.values()))
        with self._binding.lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) == _MOST_GRAPHS:
                    return self._binding.run(feed, self._plain)
                return self._capture(key, feed, padded, batch)
            if not bucket.is_right:
                return self._binding.run(feed, self._plain)
            return self._replay(bucket, padded, batch)

    def _capture(self, key: Any, feed: Feed, padded: Feed, batch: int) -> list[Array]:
        """Record the bucket's graph and compare its answer, once; what a plain run gives is what is returned."""
        expected = self._binding.run(feed, self._plain)
        buffers = self._binding.allocate({name: array.shape for name, array in padded.items()})
        bucket = self._buckets[key] = _Bucket(len(self._buckets) + 1, buffers, False)
        where = f"CUDA graph for batch {key[0]}"
        try:
            for name, array in padded.items():
                buffers.inputs[name].update_inplace(array)
            self._binding.execute(buffers, self._plain)  # allocates the outputs that the graph will write to
            self._binding.execute(buffers, run_options(bucket.identity))  # captures
            replayed = self._replay(bucket, padded, batch)
        except Exception as error:
            _log.warning("no %s: %s", where, " ".join(str(error).split())[:200])
            return expected
        bucket.is_right = all(a.shape == b.shape and is_close(a, b) for a, b in zip(replayed, expected, strict=True))
        if not bucket.is_right:
            _log.warning("no %s: its outputs differ from those of a plain run", where)
        return expected

    def _replay(self, bucket: _Bucket, padded: Feed, batch: int) -> list[Array]:
        for name, array in padded.items():
            bucket.buffers.inputs[name].update_inplace(array)
        results = self._binding.execute(bucket.buffers, run_options(bucket.identity))
        return [out[:batch] for out in self._binding.to_host(results)]


def _pad(array: Array, size: int) -> Array:
    """Filled up with repeats of the last sample: zeros might lie outside the range the net was compiled for."""
    if array.shape[0] == size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - array.shape[0], axis=0)])
