"""Applies what the laws answer: numbers each instance, guards its cost, stops at a limit, reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import onnx_ir as ir

from cnnc_passes.costs import node_cost
from cnnc_passes.rewrite import Change, Decline, Rewrite, op_name
from cnnc_runtime.errors import CnncError

__all__ = ["Driver", "Instance"]

_MAX_ROUNDS = 16  # a law feeds itself a few times at most; more would be a law that undoes itself


@dataclasses.dataclass(frozen=True)
class Instance:
    """One place where a law was applied (numbered from 1, across the whole pipeline) or declined (0)."""

    law: str
    node: str
    number: int = 0
    reason: str = ""

    @property
    def applied(self) -> bool:
        """True if the graph was changed here."""
        return self.number > 0


class Driver:
    """Runs laws on one model and keeps the record.

    Args:
        model: changed in place.
        limit: apply no more than this many instances over the driver's life (bisection); None for all.
    """

    def __init__(self, model: ir.Model, *, limit: int | None = None) -> None:
        self._model = model
        self._limit = limit
        self._applied = 0
        self._names: set[str | None] = set()
        self.instances: list[Instance] = []

    def run(self, rewrite: Rewrite) -> bool:
        """Apply `rewrite` wherever it holds, until it finds nothing new. True if the model changed."""
        before = self._applied
        self._names = {value.name for value in _all_values(self._model.graph)}
        for _ in range(_MAX_ROUNDS):
            declined: list[Instance] = []
            changed = self._round(rewrite, declined)
            if not changed:  # what the last round declined is what stays declined
                self.instances += declined
                break
        return self._applied > before

    def _round(self, rewrite: Rewrite, declined: list[Instance]) -> bool:
        changed = False
        for node in list(self._model.graph):
            if node.graph is None or op_name(node) not in rewrite.roots:  # removed by an earlier change
                continue
            answer = rewrite.rewrite(node)
            if isinstance(answer, Change):
                answer = _guard(answer) or answer
            if isinstance(answer, Decline):
                declined.append(Instance(rewrite.name, node.name or op_name(node), reason=answer.reason))
            elif answer is not None:
                if self._limit is not None and self._applied >= self._limit:
                    return False
                self._apply(answer)
                self._applied += 1
                changed = True
                self.instances.append(Instance(rewrite.name, node.name or op_name(node), number=self._applied))
        return changed

    def _apply(self, change: Change) -> None:
        graph = self._model.graph
        anchor = change.remove[-1]
        for node in change.insert:
            node.metadata_props.update(anchor.metadata_props | node.metadata_props)
            self._model.opset_imports.setdefault(node.domain, 1)
            for value in node.inputs:
                if value is not None and value.const_value is not None and value.graph is None:
                    self._register(value)
        fresh = {output for node in change.insert for output in node.outputs}
        for old, new in change.replace.items():
            if new in fresh or old.is_graph_output():
                new.name, new.type, new.shape = old.name, old.type, old.shape
        for node in change.insert:
            for output in node.outputs:
                if output not in change.replace.values():
                    output.name = self._unique(f"{anchor.outputs[0].name}.{node.op_type.lower()}")
        ir.convenience.replace_all_uses_with(
            list(change.replace), list(change.replace.values()), replace_graph_outputs=True
        )
        graph.insert_after(anchor, change.insert)
        graph.remove(change.remove, safe=True)

    def _register(self, value: ir.Value) -> None:
        value.name = self._unique(value.name or "constant")
        self._model.graph.register_initializer(value)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate


def _guard(change: Change) -> Decline | None:
    """Decline a change that would compute more; where a shape is unknown nothing can be said."""
    outputs = {new: old for old, new in change.replace.items()}
    for node in change.insert:
        for output in node.outputs:
            if output.shape is None and output in outputs:
                output.shape = outputs[output].shape
    try:
        before = sum(node_cost(node).macs for node in change.remove)
        after = sum(node_cost(node).macs for node in change.insert)
    except CnncError:
        return None
    return Decline(f"would cost {after} MACs instead of {before}") if after > before else None


def _all_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph.all_nodes():
        yield from node.outputs
