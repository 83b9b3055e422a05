"""Applies what the laws answer: numbers each instance, guards its cost, proves it, stops at a limit, reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence

import onnx_ir as ir

from cnnc_passes.costs import node_cost
from cnnc_passes.infer_shapes import infer_node
from cnnc_passes.rewrite import Change, Decline, Rewrite, op_name
from cnnc_passes.sizes import nominal_sizes
from cnnc_runtime.errors import CnncError, InvalidInputError

__all__ = ["Driver", "Instance", "Key", "Prove"]

_MAX_ROUNDS = 16  # a law feeds itself a few times at most; more would be a law that undoes itself

Key = tuple[str, str]
"""(law, name of the value at which it was asked): the same in every run on the same model."""
Prove = Callable[[Change], str | None]
"""Shows one change equal to what it replaces; the reason where it cannot be."""


@dataclasses.dataclass(frozen=True)
class Instance:
    """One place where a law was applied, declined, or was dropped because a proof failed.

    Attributes:
        law: its name.
        node: the node at which it was asked, for people.
        key: what names the instance in a later run on the same model.
        number: from 1 across the whole pipeline where it was applied, else 0.
        reason: why not, where it was not.
        dropped: the law would have applied, and was found wrong here.
    """

    law: str
    node: str
    key: Key
    number: int = 0
    reason: str = ""
    dropped: bool = False

    @property
    def applied(self) -> bool:
        """True if the graph was changed here."""
        return self.number > 0


class Driver:
    """Runs laws on one model and keeps the record.

    Args:
        model: changed in place.
        limit: apply no more than this many instances over the driver's life (bisection); None for all.
        drop: instances not to apply, and why: what an earlier run was shown wrong by.
        prove: asked before a change is applied.
    """

    def __init__(
        self,
        model: ir.Model,
        *,
        limit: int | None = None,
        drop: Collection[tuple[Key, str]] = (),
        prove: Prove | None = None,
    ) -> None:
        self._model = model
        self._limit = limit
        self._applied = 0
        self._prove = prove
        self._names: set[str | None] = set()
        self._sizes = nominal_sizes(model)
        self._dropped: dict[Key, str] = dict(drop)
        self.instances: list[Instance] = []

    def run(self, *laws: Rewrite) -> bool:
        """Apply the laws wherever they hold, in turn, until none finds anything new. True if the model changed."""
        before = self._applied
        self._names = {value.name for value in _all_values(self._model.graph)}
        for _ in range(_MAX_ROUNDS):
            unchanged = self._applied
            declined = [instance for law in laws for instance in self._exhaust(law)]
            if self._applied == unchanged or len(laws) == 1:
                break
        self.instances += declined  # what the last round declined is what stays declined
        return self._applied > before

    def run_pass(self, step: ir.passes.PassBase, name: str) -> bool:
        """Run a whole-graph pass as one numbered instance. True if the model changed."""
        key = (name, "")
        if key in self._dropped:
            self.instances.append(Instance(name, "the whole graph", key, reason=self._dropped[key], dropped=True))
        elif not self._is_full() and step(self._model).modified:
            self._applied += 1
            self.instances.append(Instance(name, "the whole graph", key, number=self._applied))
            return True
        return False

    def _exhaust(self, law: Rewrite) -> list[Instance]:
        """Apply one law until it finds nothing new; where it declined in the end."""
        declined: list[Instance] = []
        for _ in range(_MAX_ROUNDS):
            declined = []
            if not self._round(law, declined):
                break
        return declined

    def _round(self, law: Rewrite, declined: list[Instance]) -> bool:
        changed = False
        for node in list(self._model.graph):
            if node.graph is None or op_name(node) not in law.roots:  # removed by an earlier change
                continue
            answer = law.rewrite(node)
            if answer is None:
                continue
            key = (law.name, str(node.outputs[0].name))
            instance = Instance(law.name, node.name or op_name(node), key)
            if isinstance(answer, Change):
                refused = self._refused(answer, law, key)
                if refused is not None:
                    _forget(answer)
                    answer = refused
            if isinstance(answer, Decline):
                dropped = key in self._dropped
                declined.append(dataclasses.replace(instance, reason=answer.reason, dropped=dropped))
                continue
            if self._is_full():
                _forget(answer)
                return False
            self._apply(answer)
            self._applied += 1
            changed = True
            self.instances.append(dataclasses.replace(instance, number=self._applied))
        return changed

    def _is_full(self) -> bool:
        return self._limit is not None and self._applied >= self._limit

    def _refused(self, change: Change, law: Rewrite, key: Key) -> Decline | None:
        """Why the change is not made: dropped before, ill-formed, too costly, or not provable."""
        if key in self._dropped:
            return Decline(self._dropped[key])
        try:
            self._describe(change)
        except InvalidInputError as error:
            return Decline(f"its result is malformed: {error}")
        decline = None if law.trades else self._guard(change)
        if decline is None and self._prove is not None and not self._is_full():
            reason = self._prove(change)
            if reason is not None:
                self._dropped[key] = reason
                return Decline(reason)
        return decline

    def _describe(self, change: Change) -> None:
        """Infer the shapes of what the change computes; what takes an old value's place has its shape."""
        old_of = {new: old for old, new in change.replace.items()}
        for index, node in enumerate(change.insert):
            for slot, output in enumerate(node.outputs):
                output.name = output.name or f"new.{index}.{slot}"  # inference goes by names; `_apply` gives real ones
            infer_node(node, self._model.opset_imports)
            for output in node.outputs:
                old = old_of.get(output)
                if old is not None:
                    output.shape = _better_known(old.shape, output.shape)
                    output.type = old.type if old.type is not None else output.type

    def _guard(self, change: Change) -> Decline | None:
        """Decline a change that would compute or move more; where a shape is unknown nothing can be said."""
        try:
            before, after = self._cost(change.remove), self._cost(change.insert)
        except CnncError:
            return None
        for now, then, unit in zip(after, before, ("MACs", "bytes moved"), strict=True):
            if now > then:
                return Decline(f"would cost {now} {unit} instead of {then}")
        return None

    def _cost(self, nodes: Sequence[ir.Node]) -> tuple[int, int]:
        costs = [node_cost(node, self._sizes) for node in nodes]
        return sum(cost.macs for cost in costs), sum(cost.read_bytes + cost.written_bytes for cost in costs)

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
                new.name, new.type, new.shape = old.name, old.type, _better_known(old.shape, new.shape)
        for node in change.insert:
            for output in node.outputs:
                if output not in change.replace.values():
                    output.name = self._unique(f"{anchor.outputs[0].name}.{node.op_type.lower()}")
        ir.convenience.replace_all_uses_with(
            list(change.replace), list(change.replace.values()), replace_graph_outputs=True
        )
        graph.insert_after(anchor, change.insert)
        graph.remove(change.remove, safe=True)
        if len(change.replace) > 1:  # a reader of one old result may stand before the anchor
            graph.sort()

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


def _better_known(old: ir.Shape | None, new: ir.Shape | None) -> ir.Shape | None:
    """The shape of a value that takes another's place: as the old one says, and where that is open as inferred."""
    if old is None or new is None or len(old) != len(new):
        return old if old is not None else new
    pairs = zip(old, new, strict=True)
    return ir.Shape([b if not isinstance(a, int) and (isinstance(b, int) or a.value is None) else a for a, b in pairs])


def _forget(change: Change) -> None:
    """Detach the nodes of a change that is not made: values would remember them as readers."""
    for node in change.insert:
        for index in range(len(node.inputs)):
            node.replace_input_with(index, None)


def _all_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph.all_nodes():
        yield from node.outputs
