"""What the user declared of a network (labels, preprocessing, ranges of values), checked against its graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from cnnc.verify import Inputs
from cnnc_runtime.errors import UsageError
from cnnc_runtime.flow import FlowInput
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["check_labels", "fitted", "ranges_for"]


def check_labels(labels: Sequence[str], model: ir.Model, states: Collection[str] = ()) -> None:
    """As many labels as some output, a classifier's or a map's, has classes; outputs that are next `states` have none.

    Raises:
        UsageError: no output has so many.
    """
    shapes = [value.shape for value in model.graph.outputs if value.name not in states]
    classes = [shape[1] for shape in shapes if shape is not None and len(shape) in (2, 4) and isinstance(shape[1], int)]
    if labels and classes and len(labels) not in classes:
        raise UsageError(f"{len(labels)} labels for {' or '.join(map(str, dict.fromkeys(classes)))} classes")


def fitted(preprocessing: Preprocessing, model: ir.Model, states: Collection[str] = ()) -> Preprocessing:
    """For the graph's input, of which there must be one beside the states of a step function; with flow, two.

    Raises:
        UsageError: there are others, or the input is no such image, or no such flow.
    """
    inputs = [value for value in model.graph.inputs if not value.is_initializer() and value.name not in states]
    if preprocessing.flow is not None:
        return _fitted_with_flow(preprocessing, preprocessing.flow, {str(value.name): _axes(value) for value in inputs})
    if len(inputs) != 1 or inputs[0].shape is None:
        way_out = ": say which one takes optical flow, --flow-input" * (len(inputs) == 2)
        raise UsageError(f"preprocessing is for networks with one input, an image; this one has {len(inputs)}{way_out}")
    return preprocessing.fitted(_axes(inputs[0]))


def _fitted_with_flow(
    preprocessing: Preprocessing, flow: FlowInput, shapes: Mapping[str, list[int | str]]
) -> Preprocessing:
    if flow.name not in shapes:
        raise UsageError(f"--flow-input: no input is named {flow.name!r}; there are {', '.join(shapes)}")
    if len(shapes) != 2:
        raise UsageError(f"flow is for networks with two inputs, frames and their flow; this one has {list(shapes)}")
    (frames,) = (shape for name, shape in shapes.items() if name != flow.name)
    flow.check(frames, shapes[flow.name])
    return preprocessing.fitted(frames)


def _axes(value: ir.Value) -> list[int | str]:
    return [axis if isinstance(axis, int) else str(axis.value) for axis in value.shape or ()]


def ranges_for(
    given: Mapping[str, tuple[float, float]] | tuple[float, float] | None, inputs: Inputs
) -> dict[str, tuple[float, float]]:
    """By the name of each floating input but states, whose values are the network's own; checked.

    Raises:
        UsageError: a name is of no such input, or a range is empty.
    """
    floating = [name for name, x in inputs.examples.items() if x.dtype.kind == "f" and name not in inputs.states]
    ranges = dict(given) if isinstance(given, Mapping) else dict.fromkeys(floating, given) if given else {}
    for name, (low, high) in ranges.items():
        if name in inputs.states:
            raise UsageError(f"input_range: {name!r} is a state, whose values the network itself gives: leave it out")
        if name not in floating:
            raise UsageError(f"input_range: no floating input is named {name!r}; there are {', '.join(floating)}")
        if not low < high:
            raise UsageError(f"input_range: {low:g} to {high:g} is no range")
    return {**inputs.ranges, **ranges}
