"""Which convolution search and layout run a net fastest on this GPU: candidates measured in turn, in one process."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from cnnc_runtime.batch_axis import Array, Feed, is_close, random_values
from cnnc_runtime.gpu.binding import Binding
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.providers import SEARCHES, Device, GpuOptions
from cnnc_runtime.shapes import read_shapes, smallest_shapes
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Choice", "choose"]

_WARM_UP = 3  # the first run searches cuDNN's algorithms, the second writes into buffers that stay
_ROUNDS = 8
_RUNS = 50  # of a candidate in a round
_TURN = 0.05  # seconds after which it begins no further run in a round
_HOPELESS = 3.0  # times the default's time; cuDNN's `default` takes a hundred for depthwise convolutions
_WORTHWHILE = 0.98  # of the default's time: what is gained below that may be noise

_log = logging.getLogger("cnnc")


@dataclass(frozen=True)
class Choice:
    """What was measured.

    Attributes:
        gpu: the fastest options, or the default ones where none saves 2%.
        seconds: of one run of each shape together, by candidate, without those that failed, were wrong or far slower.
    """

    gpu: GpuOptions
    seconds: dict[str, float]

    def __str__(self) -> str:
        label = _label(self.gpu)
        ours, default = self.seconds[label], next(iter(self.seconds.values()))
        return f"{label}: {ours * 1e3:.3f} ms a run, {default * 1e3:.3f} ms by default"


def choose(
    open_session: Callable[[GpuOptions], Any], device: Device, name: str, default: GpuOptions, shapes: Any
) -> Choice | None:
    """The fastest of every search in every layout; None, with a warning, if the default cannot run random inputs.

    Up to six sessions are open at once: what is measured minutes apart is not comparable on a GPU that heats up.

    Args:
        open_session: opens the net with these options.
        device: the GPU.
        name: what messages call the net.
        default: the first candidate; the others differ in `convolution_search` and `nhwc` only.
        shapes: what will be run, as for `load`; None for the smallest that the net takes.

    Raises:
        CnncError: as `open_session`, for the default.
        UsageError: a shape does not fit, or none was given and the net's own is open.
    """
    first = _Candidate(default, open_session(default), device)
    feeds = first.feeds(shapes)
    try:
        expected = [first.warm_up(feed) for feed in feeds]
    except Exception as error:  # onnxruntime's exceptions share no base class
        _warn(name, error)
        return None
    running = [first]
    for nhwc, search in itertools.product((False, True), SEARCHES):
        gpu = replace(default, convolution_search=search, nhwc=nhwc)
        if gpu != default and (other := _opened(gpu, open_session, device, feeds, expected)) is not None:
            running.append(other)
    for turn in range(_ROUNDS):
        start = turn % len(running)
        for candidate in running[start:] + running[:start]:  # another first each time: to come first costs or gains
            try:
                candidate.measure(feeds)
            except Exception as error:
                if candidate is first:
                    _warn(name, error)
                    return None
                _drop(candidate.gpu, error)
                running.remove(candidate)
        running = [candidate for candidate in running if candidate.seconds <= _HOPELESS * first.seconds]
    fastest = min(running, key=lambda candidate: candidate.seconds)  # of equals the first
    if fastest.seconds > _WORTHWHILE * first.seconds:
        fastest = first
    return Choice(fastest.gpu, {_label(candidate.gpu): candidate.seconds for candidate in running})


class _Candidate:
    """A session with these options, and how long its runs took on each feed."""

    def __init__(self, gpu: GpuOptions, session: Any, device: Device) -> None:
        self.gpu = gpu
        self._inputs = [TensorSpec.of(arg) for arg in session.get_inputs()]
        self._metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
        outputs = [TensorSpec.of(arg) for arg in session.get_outputs()]
        self._run = Binding(session, self._inputs, outputs, "cuda", device.index).run  # as the engine runs arrays
        self._times: list[list[float]] = []

    def feeds(self, shapes: Any) -> list[Feed]:
        """Random inputs of each shape: zeros would hide a difference."""
        ranges = self._metadata.input_ranges if self._metadata is not None else {}
        rng = np.random.default_rng(0)
        return [
            {
                spec.name: random_values(rng, named[spec.name], spec.dtype, *ranges.get(spec.name, (0.0, 1.0)))
                for spec in self._inputs
            }
            for named in read_shapes(shapes, self._inputs) or [smallest_shapes(self._inputs)]
        ]

    def warm_up(self, feed: Feed) -> list[Array]:
        """The outputs; the runs are not counted."""
        self._times.append([])
        return [self._run(feed) for _ in range(_WARM_UP)][-1]

    def measure(self, feeds: list[Feed]) -> None:
        """One round."""
        for feed, times in zip(feeds, self._times, strict=True):
            end = perf_counter() + _TURN
            for _ in range(_RUNS):
                start = perf_counter()
                self._run(feed)
                now = perf_counter()
                times.append(now - start)
                if now >= end:
                    break

    @property
    def seconds(self) -> float:
        """Medians of all rounds, of one run of each shape together."""
        return sum(statistics.median(times) for times in self._times)


def _opened(
    gpu: GpuOptions,
    open_session: Callable[[GpuOptions], Any],
    device: Device,
    feeds: list[Feed],
    expected: list[list[Array]],
) -> _Candidate | None:
    """The candidate, warm; None if it cannot be opened or run, or its outputs are not those expected."""
    try:
        candidate = _Candidate(gpu, open_session(gpu), device)
        outputs = [candidate.warm_up(feed) for feed in feeds]
    except Exception as error:
        _drop(gpu, error)
        return None
    pairs = [pair for ours, right in zip(outputs, expected, strict=True) for pair in zip(ours, right, strict=True)]
    if all(ours.shape == right.shape and is_close(ours, right) for ours, right in pairs):
        return candidate
    _drop(gpu, "its outputs differ from the default's")
    return None


def _label(gpu: GpuOptions) -> str:
    return gpu.convolution_search + (", nhwc" if gpu.nhwc else "")


def _drop(gpu: GpuOptions, reason: object) -> None:
    _log.debug("not considered: %s: %s", _label(gpu), _short(reason))


def _warn(name: str, error: Exception) -> None:
    _log.warning("%s: gpu='measured' takes the default, as measuring failed: %s", name, _short(error))


def _short(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
