"""Step functions: which inputs are states, and which outputs are their next values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc_runtime.errors import UsageError

__all__ = ["EXPORTERS_NAME", "States", "numbered", "pair_states", "parse_states"]

States = Mapping[str, str | int] | Sequence[str]
"""Input -> output, by name or by number from 0; or inputs alone, whose next values are the last outputs, in order."""

EXPORTERS_NAME = "cnnc.exporters_name"
"""In the `meta` of outputs that nobody named: a state's then gets a name of its own."""


def parse_states(texts: Sequence[str]) -> States | None:
    """`["h=h_next"]` or `["h=1"]` -> a mapping, `["h", "c"]` -> a list; None of no texts.

    Raises:
        UsageError: not of that form, both forms together, or a state given twice.
    """
    if not texts:
        return None
    pairs = [text.strip().partition("=") for text in texts]
    for text, (name, mark, output) in zip(texts, pairs, strict=True):
        if not name or bool(mark) != bool(output):
            raise UsageError(f"--state {text}: give input=output, as in h=h_next or h=1, or the input alone")
    if len({bool(mark) for _, mark, _ in pairs}) > 1:
        raise UsageError("--state: name the output of every state, or of none: then they are the last ones, in order")
    names = [name for name, _, _ in pairs]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"--state {repeated} is given twice")
    if not pairs[0][1]:
        return names
    return {name: int(output) if output.isdecimal() else output for name, _, output in pairs}


def pair_states(given: States, model: ir.Model) -> dict[str, str]:
    """{state: the output that is its next value}, in the order of `given`, found in the graph and checked.

    An output that only the exporter named becomes `<state>_next`.

    Raises:
        UsageError: a name or number is of no input or output, an output is named twice, the two differ in type or
            shape, or nothing is left beside the states.
    """
    if not given:
        return {}
    inputs = {str(value.name): value for value in model.graph.inputs if not value.is_initializer()}
    outputs = list(model.graph.outputs)
    if not isinstance(given, Mapping):
        if isinstance(given, str) or len(given) > len(outputs):
            raise UsageError(f"states: {given!r} for {len(outputs)} outputs: give a list of inputs, one for each")
        given = dict(zip(given, range(len(outputs) - len(given), len(outputs)), strict=True))
    found: dict[str, ir.Value] = {}
    for name, which in given.items():
        if name not in inputs:
            raise UsageError(f"states: no input is named {name!r}; the inputs are {', '.join(inputs)}")
        output = _output(name, which, outputs)
        if any(output is other for other in found.values()):
            raise UsageError(f"states: output {output.name!r} is the next value of one state, not of two")
        _check_equal(name, inputs[name], output)
        found[name] = output
    if len(found) == len(inputs):
        raise UsageError("states: every input is one, so none is left for the frame")
    if len(found) == len(outputs):
        raise UsageError("states: every output is one, so a step gives no result: return that as an output of its own")
    _name(found, model)
    return {name: str(output.name) for name, output in found.items()}


def numbered(pairs: Mapping[str, str], model: ir.Model) -> dict[str, int]:
    """{state: number of its output}."""
    names = [value.name for value in model.graph.outputs]
    return {state: names.index(output) for state, output in pairs.items()}


def _output(state: str, which: str | int, outputs: Sequence[ir.Value]) -> ir.Value:
    named = {str(value.name): value for value in outputs}
    if isinstance(which, int):
        if 0 <= which < len(outputs):
            return outputs[which]
        raise UsageError(f"states: {state!r} is output {which} of {len(outputs)}: count from 0")
    if which not in named:
        raise UsageError(f"states: no output is named {which!r}; the outputs are {', '.join(named)}")
    return named[which]


def _check_equal(name: str, state: ir.Value, output: ir.Value) -> None:
    """Sizes with names may be equal under two names: whether they are, the proof sees when it feeds states back."""
    a, b = _sizes(state), _sizes(output)
    fits = state.dtype == output.dtype and (
        a is None or b is None or (len(a) == len(b) and all(map(_may_be_equal, a, b)))
    )
    if not fits:
        raise UsageError(
            f"states: {name!r} is {_form(state)}, output {output.name!r} is {_form(output)}: a state and its next "
            "value have one type and shape"
        )


def _may_be_equal(a: int | str, b: int | str) -> bool:
    return a == b or (isinstance(a, str) and isinstance(b, str))


def _sizes(value: ir.Value) -> list[int | str] | None:
    if value.shape is None:
        return None
    return [size if isinstance(size, int) else str(size.value) for size in value.shape]


def _form(value: ir.Value) -> str:
    dtype = value.dtype.name.lower() if value.dtype is not None else "?"
    return f"{dtype} ({', '.join(map(str, _sizes(value) or ['?']))})"


def _name(found: Mapping[str, ir.Value], model: ir.Model) -> None:
    taken = {value.name for node in model.graph for value in node.outputs} | set(model.graph.initializers)
    taken |= {value.name for value in model.graph.inputs}
    for name, output in found.items():
        if output.meta.get(EXPORTERS_NAME) and f"{name}_next" not in taken and not output.is_graph_input():
            output.name = f"{name}_next"
