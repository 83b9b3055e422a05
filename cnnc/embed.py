"""Preprocessing inside the graph: uint8 (N, H, W, C) -> Cast -> scale, mean, std -> Transpose -> the network's input.

Resizing stays outside. The images of a batch are one tensor, so they must have one size before they are in it; and
ONNX's Resize with antialiasing is not Pillow's, which rounds its weights, and its rows before its columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from cnnc.frontend import Frontend
from cnnc.verify import Inputs, Oracle
from cnnc_runtime.errors import UsageError
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["EmbeddedOracle", "embed", "open_embedded"]

Reopen = Callable[[], Frontend]
_CHANNELS_FIRST = (0, 3, 1, 2)
_CHANNELS_LAST = (0, 2, 3, 1)


def embed(preprocessing: Preprocessing | None, reopen: Reopen, ranges: object) -> tuple[Preprocessing, Reopen]:
    """What a compilation goes on with where the graph shall do the preprocessing's arithmetic.

    Args:
        preprocessing: what the user asked for.
        reopen: opens the source.
        ranges: what the user declared of the network's inputs.

    Returns:
        the preprocessing, marked as embedded, and what opens the source with it inside.

    Raises:
        UsageError: there is none, or ranges are declared of an input that is no longer one.
    """
    if preprocessing is None:
        raise UsageError("there is no preprocessing to embed: name it, --preprocess imagenet (or --mean, --std, ...)")
    if ranges:
        raise UsageError("embedded, the input is an image of 0 to 255: leave --input-range out")
    embedded = dataclasses.replace(preprocessing, embedded=True)
    return embedded, lambda: open_embedded(reopen, embedded)


def open_embedded(reopen: Reopen, preprocessing: Preprocessing) -> Frontend:
    """The network that `reopen` opens, with the arithmetic of `preprocessing` before it: graph, inputs and oracle.

    Raises:
        UsageError: it has more than one input, or one that is no such image.
    """
    front = reopen()
    asking = front.class_inputs
    inputs = [value for value in front.model.graph.inputs if not value.is_initializer() and value.name not in asking]
    if len(inputs) != 1 or inputs[0].shape is None:
        raise UsageError(f"preprocessing is for networks with one input, an image; this one has {len(inputs)}")
    (old,) = inputs
    assert old.name is not None and old.shape is not None
    if old.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
        raise UsageError(f"input {old.name!r} is {old.dtype}: only preprocessing to floating point can be embedded")
    if len(old.shape) == 5:
        raise UsageError(f"input {old.name!r} is clips: preprocessing of images only can be embedded, leave it outside")
    outside = dataclasses.replace(preprocessing, embedded=False)
    outside.fitted([axis if isinstance(axis, int) else str(axis.value) for axis in old.shape])
    name, dtype, oracle = old.name, old.dtype.numpy(), front.oracle

    def departure(model: ir.Model, feed: Mapping[str, np.ndarray]) -> str | None:
        plain = reopen()  # the network alone: what is before it is not PyTorch's
        return plain.first_departure(plain.model, {**feed, name: _prepared(feed[name], outside, dtype)})

    embedded = front.model.clone()  # the oracle of an .onnx file reads the network's own graph, later
    _prepend(embedded, next(value for value in embedded.graph.inputs if value.name == name), outside)
    return dataclasses.replace(
        front,
        model=embedded,
        inputs=_image_inputs(front.inputs, name),
        oracle=lambda: EmbeddedOracle(oracle(), name, outside, dtype),
        first_departure=departure,
    )


class EmbeddedOracle:
    """A network on what the preprocessing makes of images outside: in float64, or as the runtime makes it."""

    def __init__(self, network: Oracle, name: str, preprocessing: Preprocessing, dtype: np.dtype[Any]) -> None:
        self._network, self._name, self._preprocessing, self._dtype = network, name, preprocessing, dtype
        self.description = f"{network.description}, its preprocessing before it"

    def exact(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output, preprocessing and network both in float64."""
        image = self._preprocessing.normalized(feed[self._name], np.float64)
        return self._network.exact({**feed, self._name: image})

    def original(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output of the network in its own precision, on images prepared as `cnnc run` prepares them."""
        image = _prepared(feed[self._name], self._preprocessing, self._dtype)
        return self._network.original({**feed, self._name: image})


def _prepared(images: np.ndarray, preprocessing: Preprocessing, dtype: np.dtype[Any]) -> np.ndarray:
    return preprocessing.normalized(images, np.float64 if dtype == np.float64 else np.float32).astype(dtype)


def _image_inputs(inputs: Inputs, name: str) -> Inputs:
    """The same sizes, of an image in bytes with its channels last."""
    example = inputs.examples[name].transpose(_CHANNELS_LAST)
    axes = {_CHANNELS_LAST.index(axis): symbol for axis, symbol in inputs.axes.get(name, {}).items()}
    return dataclasses.replace(
        inputs,
        examples={**inputs.examples, name: np.zeros(example.shape, np.uint8)},
        axes={**inputs.axes, name: dict(sorted(axes.items()))},
        images=frozenset({name}),
    )


def _prepend(model: ir.Model, old: ir.Value, preprocessing: Preprocessing) -> None:
    """Put the nodes before the input `old`; the graph's input keeps its name, and becomes uint8 (N, H, W, C)."""
    graph = model.graph
    assert old.shape is not None and old.dtype is not None
    dims = [old.shape[axis] for axis in _CHANNELS_LAST]
    image = ir.Value(
        name=old.name,
        type=ir.TensorType(ir.DataType.UINT8),
        shape=ir.Shape([*dims[:3], preprocessing.channels]),
    )
    taken = {value.name for node in graph for value in node.outputs} | set(graph.initializers) | {old.name}
    wide = ir.DataType.DOUBLE if old.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    nodes: list[ir.Node] = []

    def unique(role: str) -> str:
        name = f"{image.name}.{role}"
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    def constant(role: str, array: np.ndarray) -> ir.Value:
        value = ir.Value(name=unique(role), const_value=ir.tensor(array))
        value.type, value.shape = ir.TensorType(ir.DataType.from_numpy(array.dtype)), ir.Shape(array.shape)
        graph.register_initializer(value)
        return value

    def apply(op: str, role: str, inputs: list[ir.Value], dtype: ir.DataType, **attributes: Any) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=unique(f"{role}_node"))
        out = node.outputs[0]
        out.name, out.type = unique(role), ir.TensorType(dtype)
        shape = inputs[0].shape
        assert shape is not None
        out.shape = ir.Shape([shape[axis] for axis in _CHANNELS_FIRST]) if op == "Transpose" else ir.Shape(list(shape))
        nodes.append(node)
        return out

    x = image
    if preprocessing.color == "bgr":  # first, on bytes: between the arithmetic and a Conv it would be in the laws' way
        order = constant("order", np.array([2, 1, 0], np.int64))
        x = apply("Gather", "ordered", [x, order], ir.DataType.UINT8, axis=3)
    x = apply("Cast", "cast", [x], wide, to=int(wide))
    for op, role, values in _arithmetic(preprocessing):
        x = apply(op, role, [x, constant(f"{role}_by", values.astype(wide.numpy()))], wide)
    if old.dtype != wide:
        x = apply("Cast", "narrow", [x], old.dtype, to=int(old.dtype))
    x = apply("Transpose", "channels_first", [x], old.dtype, perm=list(_CHANNELS_FIRST))

    ir.convenience.replace_all_uses_with(old, x)
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = x
    graph.inputs[list(graph.inputs).index(old)] = image
    if len(graph):
        graph.insert_before(graph[0], nodes)
    else:
        graph.extend(nodes)


def _arithmetic(preprocessing: Preprocessing) -> list[tuple[str, str, np.ndarray]]:
    """The steps of `Preprocessing.normalized`, as (operator, name, constant along the last axis); no idle ones."""
    scale = (
        ("Div", "scaled", np.array(preprocessing.divisor))
        if preprocessing.divisor is not None
        else ("Mul", "scaled", np.array(preprocessing.scale))
    )
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    steps = [scale, ("Sub", "centered", mean), ("Div", "normalized", std)]
    idle = {"scaled": 1.0, "centered": 0.0, "normalized": 1.0}
    return [(op, role, values) for op, role, values in steps if (values != idle[role]).any()]
