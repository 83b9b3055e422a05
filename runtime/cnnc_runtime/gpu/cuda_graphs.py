"""CUDA graphs: a batch padded to one of a few sizes, whose kernels are launched as one recorded graph.

For small nets at small batches the launches cost more than the kernels. A graph replays at fixed addresses and
shapes, so each bucket has buffers of its own, and a session of its own: onnxruntime's convolutions set themselves up
anew for each shape, and where one session ran them all, a replay once ended in "an illegal instruction" (MobileNetV2
on an H200, onnxruntime 1.31.1; docs/gpu.md). The first answer of each is compared with a plain run.
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

__all__ = ["DEFAULT_BUCKETS", "GraphRunner"]

DEFAULT_BUCKETS = (1, 2, 4, 8, 16, 32)
_MOST_GRAPHS = 32  # each holds its buffers, and the weights once more, for the life of the engine
_WITHOUT, _WITH = -1, 1  # onnxruntime's names for no graph, and for the only one of a session

_log = logging.getLogger("cnnc")


@dataclass
class _Bucket:
    binding: Binding
    buffers: Buffers


def _options(graph: int) -> Any:
    """Options of a run that captures or replays `graph`."""
    options = load_onnxruntime().RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


class GraphRunner:
    """Runs batches through graphs, one for each bucket and shape of a sample.

    Args:
        plain: of a session that records nothing.
        another: opens a session with the provider option enable_cuda_graph, and binds it.
        sizes: the buckets, in samples; larger batches run without a graph.
        may_pad: whether samples of a feed are independent, so that padding does not change the others' outputs.
    """

    def __init__(
        self,
        plain: Binding,
        another: Callable[[], Binding],
        sizes: Sequence[int],
        may_pad: Callable[[Feed], bool],
    ) -> None:
        self._plain, self._another, self._sizes, self._may_pad = plain, another, sorted(set(sizes)), may_pad
        self._buckets: dict[tuple[int, tuple[tuple[int, ...], ...]], _Bucket | None] = {}  # None: it does not work

    def run(self, feed: Feed) -> list[Array]:
        """The outputs for host arrays; their rows for the padding are cut off."""
        batch = batch_of(feed)
        size = next((size for size in self._sizes if batch is not None and size >= batch), None)
        if batch is None or size is None or (size != batch and not self._may_pad(feed)):
            return self._plain.run(feed)
        padded = {name: _pad(array, size) for name, array in feed.items()}
        key = (size, tuple(array.shape[1:] for array in padded.values()))
        with self._plain.lock:
            if key not in self._buckets and len(self._buckets) < _MOST_GRAPHS:
                return self._capture(key, feed, padded, batch)
            bucket = self._buckets.get(key)
            return self._plain.run(feed) if bucket is None else _replay(bucket, padded, batch)

    def _capture(self, key: Any, feed: Feed, padded: Feed, batch: int) -> list[Array]:
        """Record the bucket's graph and compare its answer, once; what a plain run gives is what is returned."""
        expected = self._plain.run(feed)
        self._buckets[key] = None
        where = f"CUDA graph for batch {key[0]}"
        try:
            binding = self._another()
            bucket = _Bucket(binding, binding.allocate({name: array.shape for name, array in padded.items()}))
            for name, array in padded.items():
                bucket.buffers.inputs[name].update_inplace(array)
            binding.execute(bucket.buffers, _options(_WITHOUT))  # allocates the outputs that the graph will write to
            binding.execute(bucket.buffers, _options(_WITH))  # captures
            replayed = _replay(bucket, padded, batch)
        except Exception as error:
            _log.warning("no %s: %s", where, " ".join(str(error).split())[:200])
            return expected
        if all(a.shape == b.shape and is_close(a, b) for a, b in zip(replayed, expected, strict=True)):
            self._buckets[key] = bucket
        else:
            _log.warning("no %s: its outputs differ from those of a plain run", where)
        return expected


def _replay(bucket: _Bucket, padded: Feed, batch: int) -> list[Array]:
    for name, array in padded.items():
        bucket.buffers.inputs[name].update_inplace(array)
    results = bucket.binding.execute(bucket.buffers, _options(_WITH))
    return [out[:batch] for out in bucket.binding.to_host(results)]


def _pad(array: Array, size: int) -> Array:
    """Filled up with repeats of the last sample: zeros might lie outside the range the net was compiled for."""
    if array.shape[0] == size:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - array.shape[0], axis=0)])
