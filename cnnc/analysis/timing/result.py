"""What a measurement found: latency, a time a layer, what the engine added, and the machine's two ceilings."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

__all__ = ["Bound", "Ceilings", "EngineTime", "LayerTime", "Timing"]

Bound = Literal["compute", "memory"]


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What this machine does at most, measured through the same engine with as many threads.

    Attributes:
        flops_per_second: of the fastest of several convolutions and matrix products.
        bytes_per_second: read and written by an elementwise addition of tensors beyond the last-level cache.
        how: which of them these are, in words.
    """

    flops_per_second: float
    bytes_per_second: float
    how: str

    @property
    def ridge(self) -> float:
        """FLOPs per byte from which on a layer can reach the first ceiling; below, memory is too slow for it."""
        return self.flops_per_second / self.bytes_per_second

    def roof_seconds(self, flops: int, moved_bytes: int) -> float:
        """The least time for so many FLOPs and bytes: `flops / min(peak, intensity * bandwidth)`.

        Williams, Waterman and Patterson, Roofline (2009).
        """
        return max(flops / self.flops_per_second, moved_bytes / self.bytes_per_second)


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """The time of one layer of the analysis, as the engine runs it.

    The engine computes several layers in one kernel. Its time then counts at the main layer, the one with MACs;
    the others name that in `fused_into` and have no time of their own. So do copies that the engine avoids: they are
    said to be fused into the layer that reads them.

    Attributes:
        output: of the layer in the analysis, `Layer.output`.
        name, op: of the layer.
        seconds: of one inference; the mean of the middle half of the runs.
        share: of `Timing.sum_seconds`, 0 to 1.
        kernels: the nodes of the engine's own graph that compute it, `Conv relu_nchwc`.
        fused_into: the name of the main layer of the kernel that computes this one too; None for a main layer.
        flops: of the layer, if it has MACs; else of all layers that are fused into it.
        moved_bytes: the compulsory traffic of the fused layers: inputs, weights and outputs once, nothing between.
        flops_per_second, bytes_per_second: those by the time; None where no time was measured.
        bound: the ceiling that limits a layer of this intensity; None where there is nothing to limit.
        of_roof: the time that the roofline allows by the time that it took. Above 1 where the activations were
            still in the cache, which is faster than the memory that the second ceiling is measured on.
        hint: why it may be far from the roof, if it is and its share is worth a look; else "".
    """

    output: str
    name: str
    op: str
    seconds: float
    share: float
    kernels: tuple[str, ...]
    fused_into: str | None
    flops: int
    moved_bytes: int
    flops_per_second: float | None
    bytes_per_second: float | None
    bound: Bound | None
    of_roof: float | None
    hint: str


@dataclasses.dataclass(frozen=True)
class EngineTime:
    """A node that is no layer: the engine put it in, or it only computes a shape.

    Attributes:
        kernel: `ReorderInput ReorderInput_token_11`.
        purpose: `layout` of a copy into another memory layout or type, `shape` of what computes on shapes.
        feeds: the names of the layers that read it; `output` where the caller does.
        seconds, share: as of `LayerTime`.
    """

    kernel: str
    purpose: Literal["layout", "shape"]
    feeds: tuple[str, ...]
    seconds: float
    share: float


@dataclasses.dataclass(frozen=True)
class Timing:
    """Measured times on onnxruntime's CPU provider, with the options of cnnc's engine.

    Attributes:
        threads: of one run; None for onnxruntime's choice.
        runs: that were timed, after a warm-up.
        latency_seconds: the median of the runs without the profiler, in a process of their own.
        latency_range: the fastest and the slowest of them.
        profiled_seconds: the median of the runs with the profiler, which is what the kernels are parts of.
        layers: in the order of the analysis, one for each of its layers.
        engine: the kernels that are no layers.
        unattributed: kernels that no rule gave to a layer.
        unattributed_seconds: their time.
        ceilings: of the roofline.
    """

    threads: int | None
    runs: int
    latency_seconds: float
    latency_range: tuple[float, float]
    profiled_seconds: float
    layers: tuple[LayerTime, ...]
    engine: tuple[EngineTime, ...]
    unattributed: tuple[str, ...]
    unattributed_seconds: float
    ceilings: Ceilings

    @property
    def sum_seconds(self) -> float:
        """Of all kernels, as measured; nothing is rescaled to fit the latency."""
        layers = sum(layer.seconds for layer in self.layers)
        return layers + sum(row.seconds for row in self.engine) + self.unattributed_seconds

    @property
    def sum_error(self) -> float:
        """By how much the kernels' sum misses the latency without the profiler: -0.03 is 3 percent too little.

        Too little is what passes between kernels; too much is the profiler's own time. A kernel's time is cut off to
        whole microseconds, which a network of tiny layers shows.
        """
        return self.sum_seconds / self.latency_seconds - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data: seconds, FLOPs and bytes by the second; the names are those of the attributes."""
        return {**dataclasses.asdict(self), "sum_seconds": self.sum_seconds, "sum_error": self.sum_error}
