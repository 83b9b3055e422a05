"""How a session's outputs are computed: directly on the CPU, through buffers (and graphs) on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnnc_runtime.batch_axis import Array, Feed
from cnnc_runtime.gpu.binding import Binding
from cnnc_runtime.gpu.cuda_graphs import DEFAULT_BUCKETS, GraphRunner
from cnnc_runtime.opening import Opened
from cnnc_runtime.shapes import Shapes
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Execute", "executors"]

Execute = Callable[[list[str], Feed], Sequence[Array]]


def executors(
    opened: Opened,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    shapes: Sequence[Shapes],
    may_pad: Callable[[Feed], bool],
) -> tuple[Execute, Execute | None]:
    """(for host arrays, for tensors on the GPU): each takes the output names and a feed, and gives the outputs.

    Args:
        opened: the session and its device.
        inputs, outputs: what it takes and gives.
        shapes: what will be run; their batches are the buckets of CUDA graphs.
        may_pad: whether samples of a feed like this are independent.
    """
    if opened.device.kind == "cpu":
        return opened.session.run, None

    def bind(session: Any) -> Binding:
        return Binding(session, inputs, outputs, "cuda", opened.device.index)

    plain = bind(opened.session)
    run: Callable[[Feed], Sequence[Array]] = plain.run
    another = opened.with_graph
    if another is not None:
        sizes = [next(iter(named.values()))[0] for named in shapes] or DEFAULT_BUCKETS
        run = GraphRunner(plain, lambda: bind(another()), sizes, may_pad).run
    return lambda _, feed: run(feed), lambda _, feed: plain.run_tensors(feed)
