"""What a law is (Rewrite), what it answers (Change, Decline), and the few verbs it is written with."""

from __future__ import annotations

import abc
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

__all__ = [
    "Change",
    "Decline",
    "Rewrite",
    "again",
    "constant",
    "has_one_reader",
    "is_stored",
    "new_constant",
    "op_name",
    "opset",
    "producer",
    "reading",
    "same_shape",
]


@dataclasses.dataclass(frozen=True)
class Change:
    """Take `remove` out of the graph, put `insert` in its place, and read `replace[old]` for each `old`.

    By default the outputs of the last inserted node replace those of the last removed node.
    Constants need no mention: the driver registers those that the new nodes read.

    What a proof of the change must know: `within`, what the law counts on where it holds for no other inputs,
    (lowest, highest) of values that the nodes read, each (C,) or (1,) along axis 1; `given`, nodes that stay and that
    the law counts on; `static`, axes on whose size the new nodes count.
    """

    remove: Sequence[ir.Node]
    insert: Sequence[ir.Node]
    replace: Mapping[ir.Value, ir.Value] = dataclasses.field(default_factory=dict)
    within: Mapping[ir.Value, tuple[np.ndarray, np.ndarray]] = dataclasses.field(default_factory=dict)
    given: Sequence[ir.Node] = ()
    static: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not self.replace:
            pairs = zip(self.remove[-1].outputs, self.insert[-1].outputs, strict=True)
            object.__setattr__(self, "replace", dict(pairs))


@dataclasses.dataclass(frozen=True)
class Decline:
    """The law's pattern is here, but a condition is not met: `reason` says which."""

    reason: str


class Rewrite(abc.ABC):
    """One law: at a root node, answer a Change, a Decline, or None where the pattern is not there.

    A rewrite is pure. It mutates nothing and keeps no state between nodes: the driver asks,
    applies, numbers and reports. It lives in a file named after it, whose first line is the law.
    """

    roots: ClassVar[frozenset[str]]
    """The operators (`op_name`) at which the law is asked."""
    example: ClassVar[str]
    """A small graph in ONNX's text, at `demonstration.OPSET`, to which the law applies once."""
    trades: ClassVar[bool] = False
    """True for a lowering that costs more by count and was measured to win: the cost guard lets it pass."""

    @property
    def name(self) -> str:
        """The name used on the command line: that of the file, in kebab-case."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @property
    def law(self) -> str:
        """The equation: the first line of the file's docstring."""
        doc = importlib.import_module(type(self).__module__).__doc__ or ""
        return doc.strip().splitlines()[0]

    @abc.abstractmethod
    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for `node`, whose operator is one of `roots`."""


def op_name(node: ir.Node) -> str:
    """`Conv` for standard operators, `com.microsoft::FusedConv` for the others."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def opset(node: ir.Node) -> int:
    """The version of the standard operators that the graph of `node` imports."""
    imports = node.graph.opset_imports if node.graph is not None else {}
    return imports.get("", imports.get("ai.onnx", 1))


def producer(value: ir.Value | None, *ops: str) -> ir.Node | None:
    """The node that computes `value`, if its operator is one of `ops`."""
    node = value.producer() if value is not None else None
    return node if node is not None and op_name(node) in ops else None


def has_one_reader(value: ir.Value) -> bool:
    """True if exactly one node input reads `value` and the caller of the model does not see it."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array behind `value`; None if it is absent, computed, or an input that a caller may override."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def is_stored(value: ir.Value | None) -> bool:
    """True if the model holds an array behind `value`, also where a caller may override it (`constant` says None)."""
    return value is not None and (value.is_initializer() or ir.convenience.get_const_tensor(value) is not None)


def new_constant(output: ir.Value, role: str, array: np.ndarray) -> ir.Value:
    """A new constant that serves `output`, named after it (`conv1.weight`): no old name is reused.

    The driver makes the name unique when it registers the constant.
    """
    name = f"{output.name}.{role}"
    tensor = ir.tensor(np.asarray(array, order="C"), name=name)
    return ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)


def again(
    node: ir.Node,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    outputs: int = 1,
    number: int | None = None,
) -> ir.Node:
    """A new node of the same operator, name and origin.

    Args:
        node: what it takes the place of.
        inputs: all of them.
        attributes: all of them; by default those of `node`.
        outputs: how many.
        number: where several take its place, which one this is: part of the name.
    """
    return ir.node(
        node.op_type,
        inputs,
        node.attributes if attributes is None else attributes,
        domain=node.domain,
        num_outputs=outputs,
        name=node.name if number is None or not node.name else f"{node.name}.{number}",
        metadata_props=dict(node.metadata_props),
    )


def reading(node: ir.Node, x: ir.Value) -> ir.Node:
    """A copy of `node` whose first input is `x`."""
    return again(node, [x, *node.inputs[1:]])


def same_shape(a: ir.Value, b: ir.Value) -> bool:
    """True if both shapes are known and provably equal, symbolic axes included."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    pairs = zip(a.shape, b.shape, strict=True)
    return all(x == y and (isinstance(x, int) or x.value is not None) for x, y in pairs)
