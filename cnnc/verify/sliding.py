"""The truth of a classifier that slides over larger images: its body on the whole image, its head on each window.

Neither part is the rewritten graph. The body of a PyTorch module is the module itself, stopped at its feature map;
the head is the graph as it was exported, and is only ever run at the size that it was exported at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc.verify.oracle import OnnxOracle, Oracle, TorchOracle
from cnnc_passes.open_axes import open_axes
from cnnc_passes.sliding_head import Cut
from cnnc_runtime.errors import UnsupportedModelError

if TYPE_CHECKING:
    import torch

__all__ = ["SlidingOracle"]

Feed = Mapping[str, np.ndarray]
Run = Callable[[Feed], list[np.ndarray]]

_NEAR = 1e-3  # of the magnitude: the engine's own feature map beside PyTorch's, both in the network's precision


def _split(model: ir.Model, cut: Cut) -> tuple[ir.Model, ir.Model]:
    """The body, which ends with the feature map, and the head, which has the map as its last input.

    Args:
        model: as it was exported; it is not changed.
        cut: where.
    """
    body, head = model.clone(), model.clone()
    (feature,) = (value for value in _values(body) if value.name == cut.value)
    body.graph.outputs[:] = [feature]
    common.RemoveUnusedNodesPass()(body)
    (feature,) = (value for value in _values(head) if value.name == cut.value)
    windows = ir.Value(name=f"{cut.value}.window", type=feature.type, shape=feature.shape)
    ir.convenience.replace_all_uses_with(feature, windows)
    head.graph.inputs.append(windows)
    common.RemoveUnusedNodesPass()(head)
    return body, head


def _values(model: ir.Model) -> list[ir.Value]:
    return [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]


class SlidingOracle:
    """A classifier at the size it was exported at, and its head on every window of the feature map at larger ones.

    Args:
        network: the classifier's own oracle.
        model: its graph as it was exported, with its axes still closed.
        axes: the open axes of its image, by index; for a network that is a graph, whose body must be opened too.
        cut: where its head begins.
        example: a feed at the size it was exported at.

    Raises:
        UnsupportedModelError: the body takes no larger image.
    """

    def __init__(self, network: Oracle, model: ir.Model, axes: Mapping[int, str], cut: Cut, example: Feed) -> None:
        self._network, self._cut = network, cut
        (self._name,) = example
        self._size = example[self._name].shape[2:]
        body, head = _split(model, cut)
        self._head, self._window = OnnxOracle(head), str(list(head.graph.inputs)[-1].name)
        if isinstance(network, TorchOracle):
            one = {self._name: example[self._name][:1]}
            (feature,) = OnnxOracle(body).original(one)
            self._exact_body, self._own_body = _torch_body(network, cut, one, feature)
        else:
            open_axes(body, {self._name: axes})
            oracle = OnnxOracle(body)
            self._exact_body, self._own_body = oracle.exact, oracle.original
        self.description = f"{network.description}, its head on each window of the feature map"

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output (N, classes, *places), in float64."""
        return self._run(feed, self._network.exact, self._exact_body, self._head.exact)

    def original(self, feed: Feed) -> list[np.ndarray]:
        """Every output (N, classes, *places), in the network's own precision."""
        return self._run(feed, self._network.original, self._own_body, self._head.original)

    def _run(self, feed: Feed, network: Run, body: Run, head: Run) -> list[np.ndarray]:
        image = feed[self._name]
        if image.shape[2:] == self._size:
            return [scores.reshape(*scores.shape, *[1] * len(self._size)) for scores in network(feed)]
        (feature,) = body(feed)
        places = self._places(feature.shape[2:])
        if not places or set(places) == {1}:
            raise UnsupportedModelError(f"an image of {image.shape[2:]} has no second window: nothing new to compare")
        exported = image[(slice(None), slice(None), *map(slice, self._size))]  # a head may ask for its batch
        found = [
            head({self._name: exported, self._window: np.ascontiguousarray(self._at(feature, place))})
            for place in np.ndindex(*places)
        ]
        return [
            np.stack(every, axis=-1).reshape(*every[0].shape, *places) for every in map(list, zip(*found, strict=True))
        ]

    def _places(self, size: Sequence[int]) -> tuple[int, ...]:
        cut = self._cut
        counts = [(n - w) // s + 1 for n, w, s in zip(size, cut.window, cut.step, strict=True)]
        return tuple(counts) if min(counts) > 0 else ()

    def _at(self, feature: np.ndarray, place: Sequence[int]) -> np.ndarray:
        starts = [i * step for i, step in zip(place, self._cut.step, strict=True)]
        inside = [slice(start, start + size) for start, size in zip(starts, self._cut.window, strict=True)]
        return feature[(slice(None), slice(None), *inside)]


def _torch_body(network: TorchOracle, cut: Cut, example: Feed, feature: np.ndarray) -> tuple[Run, Run]:
    """A module that stops at its feature map, in float64 and in its own precision.

    The map is the result of the first operator of PyTorch's that gives it on `example`; by its number it is found
    again at other sizes, where the head would fail.
    """
    (name,) = example
    if cut.value == name:
        return (lambda feed: [feed[name].astype(np.float64)]), (lambda feed: [feed[name]])
    from cnnc.verify.stopped import find_operator, run_to

    def stopped(run: Run) -> Run:
        number = find_operator(lambda: run(example), lambda x: _is_near(x, feature))
        if number is None:
            raise UnsupportedModelError(f"its feature map {cut.value!r} is not found among what PyTorch computes")
        return lambda feed: [run_to(number, lambda: run(feed))]

    return stopped(network.exact), stopped(network.original)


def _is_near(x: torch.Tensor, feature: np.ndarray) -> bool:
    if tuple(x.shape) != feature.shape or not x.is_floating_point():
        return False
    values = x.detach().double().numpy()
    return bool(np.abs(values - feature).max() <= _NEAR * max(float(np.abs(feature).max()), 1e-30))
