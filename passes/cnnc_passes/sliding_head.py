"""A classifier's head made to slide: each output becomes a map of scores, and where the head begins is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import onnx_ir as ir
from onnx_ir.passes import common

from cnnc_passes.driver import Driver
from cnnc_passes.forms.elementwise import POINTWISE
from cnnc_passes.forms.flattened import flattened, is_one_place, map_size
from cnnc_passes.laws.fully_convolutional import FullyConvolutional
from cnnc_passes.laws.reduce_to_pool import ReduceToPool
from cnnc_passes.rewrite import is_stored, op_name, producer
from cnnc_passes.windows import node_windows
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["Cut", "slide_head"]

_PLACEWISE = POINTWISE | {"Cast", "Dropout", "Softmax", "LogSoftmax", "Concat", "Transpose", "LayerNormalization"}


@dataclasses.dataclass(frozen=True)
class Cut:
    """Where a head begins.

    Attributes:
        value: the name of its feature map (N, C, *map).
        window: the map's spatial sizes at the size that the network was exported at.
        step: how far on the map it is from one window to the next, per spatial axis.
    """

    value: str
    window: tuple[int, ...]
    step: tuple[int, ...]


def slide_head(model: ir.Model) -> Cut:
    """Make every output (N, classes) one of (N, classes, 1, 1) that no fixed size stands behind; in place.

    Args:
        model: with every shape known at the size that it was exported at (`InferShapes`), the batch may be open.

    Raises:
        UnsupportedModelError: an output is no head's, or the heads begin at several maps.
    """
    names = {value.name for node in model.graph for value in node.outputs} | {v.name for v in model.graph.inputs}
    driver = Driver(model)
    driver.run(ReduceToPool(), FullyConvolutional())
    cuts: dict[str, Cut] = {}
    for index, output in enumerate(model.graph.outputs):
        scores = flattened(output)
        if scores is None:
            raise UnsupportedModelError(_reason(output, driver))
        if set(map_size(scores) or ()) != {1}:
            raise UnsupportedModelError(f"output {output.name!r} is a flattened map, and no scores of classes")
        cuts |= {cut.value: cut for cut in _begins(scores, names)}
        name, output.name = output.name, f"{output.name}.flat"
        model.graph.outputs[index], scores.name = scores, name
    common.RemoveUnusedNodesPass()(model)
    if len(cuts) != 1:
        found = f"at the maps {', '.join(cuts)}" if cuts else "nowhere"
        raise UnsupportedModelError(f"its head begins {found}: there must be one feature map")
    return next(iter(cuts.values()))


def _begins(scores: ir.Value, exported: Collection[str | None]) -> list[Cut]:
    """The maps behind `scores`: what a pooling, or a convolution, sees as a whole, or else what has one place."""
    found, seen, waiting = [], {scores}, [scores]
    while waiting:
        value = waiting.pop()
        node = value.producer()
        size = map_size(value) or ()
        if node is None or not is_one_place(value):  # (N, 1, 1, C) too is one place
            found.append(_before(value, [1] * len(size), exported))
            continue
        strides = _whole(node)
        first = node.inputs[0]
        if strides is not None and first is not None:
            is_ours = value.name not in exported or node.op_type != "Conv"  # then it slides by 1: that is the law
            found.append(_before(first, [1] * len(size) if is_ours else strides, exported))
            continue
        read = [one for one in node.inputs if one is not None and not is_stored(one)]
        if not _is_placewise(node) or not all(map(is_one_place, read)):
            found.append(_before(value, [1] * len(size), exported))
            continue
        waiting += [one for one in read if one not in seen]
        seen.update(read)
    return found


def _whole(node: ir.Node) -> list[int] | None:
    """The strides of a window that sees its whole map, of more than one place, and nothing else."""
    size = map_size(node.inputs[0]) if node.inputs[0] is not None else None
    windows = node_windows(node) if op_name(node) in ("Conv", "AveragePool", "MaxPool") else None
    if windows is None or size is None or (set(size) == {1} and node.op_type == "Conv"):
        return None
    fits = all(w.kernel == n and w.dilation == 1 and not any(w.pads) for w, n in zip(windows, size, strict=True))
    return [window.stride for window in windows] if fits else None


def _is_placewise(node: ir.Node) -> bool:
    if op_name(node) != "Conv":
        return op_name(node) in _PLACEWISE
    return all(w.kernel == w.stride == 1 and not any(w.pads) for w in node_windows(node) or [])


def _before(value: ir.Value, step: list[int], exported: Collection[str | None]) -> Cut:
    """The cut at `value`, or before what the law moved there, or before the pooling that an adaptive one became."""
    while value.name not in exported:
        node = value.producer()
        assert node is not None and node.inputs[0] is not None
        value = node.inputs[0]
    pool = producer(value, "AveragePool")
    while pool is not None and pool.inputs[0] is not None:
        size, places, windows = map_size(pool.inputs[0]), map_size(value), node_windows(pool) or []
        if size is None or places is None or not all(
            (n - 1) * w.stride + w.kernel == before and not any(w.pads) and w.dilation == 1
            for w, n, before in zip(windows, places, size, strict=True)
        ):  # fmt: skip
            break
        value, step = pool.inputs[0], [s * w.stride for s, w in zip(step, windows, strict=True)]
        pool = producer(value, "AveragePool")
    return Cut(str(value.name), map_size(value) or (), tuple(step))


def _reason(output: ir.Value, driver: Driver) -> str:
    """Which node keeps the head from sliding."""
    if output.shape is not None and len(output.shape) > 2:
        return f"output {output.name!r} has the shape {output.shape}: no classifier's (N, classes), or a map already"
    value, node = output, output.producer()
    while node is not None and not any(flattened(one) is not None for one in node.inputs):
        read = [one for one in node.inputs if one is not None and one.producer() is not None]
        if not read or (value.shape is not None and len(value.shape) > 2):
            break
        value, node = read[0], read[0].producer()
    if node is None:
        return f"output {output.name!r} is no layer's"
    why = next((one.reason for one in driver.instances if one.key[1] == str(node.outputs[0].name) and one.reason), "")
    named = f"{op_name(node)} {node.name or node.outputs[0].name!r}"
    return f"output {output.name!r}: {named} has no form that slides over a larger map{why and ': '}{why}"
