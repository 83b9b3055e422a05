"""Heat maps in an artifact: added to the graph before the laws run, and known to the oracle, which checks them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc.frontend import Frontend
from cnnc.verify import Case, Inputs, OnnxOracle, Oracle, TorchOracle
from cnnc.verify.inputs import cases_for
from cnnc_passes.explain import CLASS_INPUT, METHODS, HeatMap, Method, add_heat_map
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import UnsupportedModelError, UsageError
from cnnc_runtime.maps.explanation import Explanation

__all__ = ["Reopen", "explaining", "open_explained", "parse_explain", "reopen_explained"]

Reopen = Callable[[], Frontend]
_CLASSES = ("top", "input")
_STEPS = "a step function has states beside its frame, and no heat map: leave --explain out"


def parse_explain(text: str) -> tuple[Method, str | None]:
    """`cam`, `gradcam` or `gradcam:LAYER` -> the method, and the layer if one is named.

    Raises:
        UsageError: it is none of these.
    """
    method, mark, layer = text.strip().partition(":")
    if method not in METHODS or bool(mark) != bool(layer):
        raise UsageError(f"`explain` is {text!r}: give cam, gradcam or gradcam:LAYER")
    return cast(Method, method), layer or None


def explaining(explain: str | None, explain_class: str, reopen: Reopen, states: object = None) -> Reopen:
    """What opens the source with the heat map in it that the user asked for; `reopen` itself if none was.

    Args:
        explain: as `parse_explain`; None for no heat map.
        explain_class: `top`, or `input` for an input that asks for a class.
        reopen: opens the source.
        states: what the user declared of states.

    Raises:
        UsageError: an option is not understood, a class is to be asked of no heat map, or there are states.
    """
    if explain_class not in _CLASSES:
        raise UsageError(f"`explain_class` is {explain_class!r}: choose {' or '.join(_CLASSES)}")
    if explain is None:
        if explain_class != "top":
            raise UsageError("a class is asked of a heat map, and there is none: add --explain gradcam (or cam)")
        return reopen
    method, layer = parse_explain(explain)
    if states:
        raise UsageError(_STEPS)
    return lambda: open_explained(reopen, method, layer, class_input=explain_class == "input")


def reopen_explained(explanation: Explanation | None, reopen: Reopen) -> Reopen:
    """What opens a source as it was opened for an artifact with this explanation."""
    if explanation is None:
        return reopen
    method, has_input = cast(Method, explanation.method), explanation.class_input is not None
    layer = None if method == "cam" else explanation.layer
    return lambda: open_explained(reopen, method, layer, class_input=has_input)


def open_explained(reopen: Reopen, method: Method, layer: str | None, *, class_input: bool) -> Frontend:
    """The network that `reopen` opens, with a heat map as its last output: graph, inputs and oracle.

    Raises:
        UsageError: the layer is not there, or the network is a step function.
        UnsupportedModelError: there is no class score, CAM does not fit, or an operator has no gradient here.
    """
    front = reopen()
    if front.states:
        raise UsageError(_STEPS)
    model = front.model
    outputs = [str(value.name) for value in model.graph.outputs]
    found = add_heat_map(model, method, layer, class_input)
    asked = layer if layer is not None else found.layer
    explanation = Explanation(
        method, asked, found.output, found.score, found.classes, found.is_smooth, found.class_input
    )
    inputs = _with_class(front.inputs, model, found) if class_input else front.inputs
    plain, kept = front.oracle, model.clone()  # as it is now: what comes before its input is others' business

    def oracle() -> Oracle:
        return _explained(plain(), kept, inputs, found, layer, outputs)

    def departure(model: ir.Model, feed: Mapping[str, np.ndarray]) -> str | None:
        return front.first_departure(model, {name: x for name, x in feed.items() if name != found.class_input})

    return dataclasses.replace(front, inputs=inputs, oracle=oracle, first_departure=departure, explanation=explanation)


def _with_class(inputs: Inputs, model: ir.Model, heat_map: HeatMap) -> Inputs:
    """With the input of classes, -1 to the last."""
    shape = next(value.shape for value in model.graph.inputs if value.name == CLASS_INPUT)
    assert shape is not None
    symbol = None if isinstance(shape[0], int) else str(shape[0].value)
    if symbol is not None and symbol not in inputs.batch:
        raise UnsupportedModelError(
            f"the scores' first axis {symbol!r} is not the inputs' batch: each image needs a class"
        )
    size = (
        shape[0]
        if isinstance(shape[0], int)
        else next(
            inputs.examples[name].shape[axis]
            for name, axes in inputs.axes.items()
            for axis, other in axes.items()
            if other == symbol
        )
    )
    return dataclasses.replace(
        inputs,
        examples={**inputs.examples, CLASS_INPUT: np.arange(size, dtype=np.int64) % heat_map.classes},
        axes={**inputs.axes, CLASS_INPUT: {} if symbol is None else {0: symbol}},
        ranges={**inputs.ranges, CLASS_INPUT: (-1, heat_map.classes - 1)},
    )


def _explained(
    network: Oracle, model: ir.Model, inputs: Inputs, heat_map: HeatMap, named: str | None, outputs: list[str]
) -> Oracle:
    """The oracle of a network with its heat map: by autograd, or, of a graph, by differences of its score."""
    feeds = [case.feed for case in _probes(inputs)]
    if isinstance(network, TorchOracle):
        from cnnc.verify.explained import AutogradOracle

        names = list(dict.fromkeys([heat_map.layer, heat_map.logits]))
        return AutogradOracle(
            network, heat_map, named, outputs, [(feed, _values(model, names, feed)) for feed in feeds]
        )
    if isinstance(network, OnnxOracle):
        from cnnc.verify.explained_graph import ExplainedGraphOracle

        return ExplainedGraphOracle(model, heat_map, feeds[0])
    raise UnsupportedModelError("a heat map of this network cannot be proved: leave --explain out (or --no-verify)")


def _probes(inputs: Inputs) -> list[Case]:
    """Noise, and large values, on which a clipping shows."""
    cases = cases_for(inputs, 0)
    return cases[:2] if len(cases) < 5 else [cases[0], cases[4]]


def _values(model: ir.Model, names: list[str], feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values of the graph, by the engine with its optimization off."""
    cut = model.clone()
    values = {str(value.name): value for node in cut.graph for value in node.outputs}
    cut.graph.outputs[:] = [values[name] for name in names]
    common.RemoveUnusedNodesPass()(cut)
    proto = ir.to_proto(ir.external_data.load_to_model(cut))
    with Engine(proto.SerializeToString(), device="cpu", optimization="off", allow_nonfinite=True) as engine:
        found: dict[str, np.ndarray] = engine.run(dict(feed))
        return found
