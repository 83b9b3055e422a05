"""The evaluator: onnx's ReferenceEvaluator with our operators, float64 values, and a loop that lets go of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from cnnc.verify.reference import convolution, normalization, pooling, resize, sampling, tensors
from cnnc.verify.reference.operator import Operator, widen
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError

__all__ = ["Float64Evaluator"]

_OPERATORS: list[type[Operator]] = [
    operator
    for module in (convolution, normalization, pooling, resize, sampling, tensors)
    for operator in module.OPERATORS
]


class Float64Evaluator:
    """Runs a model with every floating tensor in float64.

    Args:
        model: weights included; it is neither changed nor kept. They stay in their own type, and are widened as
            each operator reads them.

    Raises:
        UnsupportedModelError: an operator that no one has implemented here; from `run`, one that fails.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        try:
            self._evaluator = _Evaluator(_without_weights(model))
        except (NotImplementedError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise UnsupportedModelError(f"the graph cannot be run in float64: {_first_line(error)}") from error
        self._evaluator.rt_inits_ = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output, in order."""
        return [np.asarray(y) for y in self._evaluator.run(None, dict(feed))]

    def intermediate(self, feed: Mapping[str, np.ndarray], names: Collection[str]) -> dict[str, np.ndarray]:
        """The values of these names, in one run of no more of the graph than they need.

        Args:
            feed: as for `run`.
            names: of any values of the main graph: inputs, weights, results of nodes.

        Raises:
            InvalidInputError: the graph has no value of that name.
        """
        return dict(zip(names, self._evaluator.run(list(names), dict(feed)), strict=True))


class _Evaluator(ReferenceEvaluator):
    """Of a model, and of the functions and subgraphs in it: onnx makes those of the same class."""

    def __init__(self, proto: Any, *args: Any, new_ops: Any = None, **kwargs: Any) -> None:
        super().__init__(proto, *args, new_ops=_OPERATORS, **kwargs)

    def get_result_types(self, name: str, exc: bool = True) -> None:
        """Unknown: a function's body is chosen by the types of the values that arrive, all float64."""

    def run(
        self, output_names: list[str] | None, feed_inputs: dict[str, Any], attributes: Any = None, **_: Any
    ) -> list[Any]:
        """The outputs asked for, or all. Each value is let go of after its last reader."""
        wanted = self.output_names if output_names is None else output_names
        values = {"": None, **self.rt_inits_, **feed_inputs}
        with np.errstate(all="ignore"):
            for node, dying in self._plan(wanted):
                _run_node(node, values, attributes)
                for name in dying:
                    values.pop(name, None)
        missing = [name for name in wanted if name not in values]
        if missing:
            raise InvalidInputError(f"the graph has no value named {missing[0]!r}")
        return [widen(values[name]) for name in wanted]

    def _plan(self, wanted: Collection[str]) -> list[tuple[OpRun, set[str]]]:
        """The nodes that `wanted` needs, each with the values that nobody reads after it."""
        plan: list[tuple[OpRun, set[str]]] = []
        needed = set(wanted) | {""}
        for node in reversed(self.rt_nodes_):
            if needed.isdisjoint(set(node.output) - {""}):
                continue
            touched = {*_reads(node.onnx_node), *node.output}
            plan.append((node, touched - needed))
            needed |= touched
        return plan[::-1]


def _run_node(node: OpRun, values: dict[str, Any], attributes: Any) -> None:
    missing = [name for name in node.input if name not in values]
    if missing:
        raise InvalidInputError(f"{_label(node)} reads {missing[0]!r}, which has no value")
    extra: dict[str, Any] = {}
    if node.need_context():
        extra["context"] = values
    if node.has_linked_attribute and attributes:
        extra["linked_attributes"] = attributes
    try:
        outputs = node.run(*(widen(values[name]) for name in node.input), **extra)
    except (CnncError, MemoryError):
        raise
    except Exception as error:
        raise UnsupportedModelError(f"{_label(node)} cannot be run in float64: {_first_line(error)}") from error
    # An output left out has the name "", which must stay the input left out
    values.update({name: value for name, value in zip(node.output, outputs, strict=False) if name})


def _label(node: OpRun) -> str:
    return f"{node.op_type} {node.onnx_node.name or ', '.join(node.output)!r}"


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Every name that a node or a subgraph of it reads."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _reads(inner)
            yield from (output.name for output in graph.output)


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of what there is to run, small however large the weights."""
    skeleton = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    for field in ("node", "input", "output"):
        getattr(skeleton.graph, field).extend(getattr(model.graph, field))
    for named in (*skeleton.opset_import, *skeleton.graph.node):
        if named.domain == "ai.onnx":  # the default domain's other name, which ReferenceEvaluator does not know
            named.domain = ""
    return skeleton


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]
