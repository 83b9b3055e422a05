"""Graphs for merge-pads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable
from tests.contract.graphs import model, node

_FIRST = (0, 0, 1, 2, 0, 0, 3, 0)
_SECOND = (0, 0, 0, 1, 0, 0, 1, 2)


def pads(
    first: Sequence[int] = _FIRST,
    second: Sequence[int] = _SECOND,
    *,
    modes: Sequence[str] = ("constant", "constant"),
    values: Sequence[float | None] = (None, None),
    axes: Sequence[Sequence[int] | None] = (None, None),
    opset: int = 20,
) -> onnx.ModelProto:
    """Two Pads and Neg."""
    nodes, constants, x = [], {}, "x"
    for i, (sizes, mode, value, over) in enumerate(zip((first, second), modes, values, axes, strict=True)):
        output = f"p{i}"
        if opset < 11:
            nodes.append(node("Pad", x, output, pads=list(sizes), mode=mode, value=value or 0.0))
        else:
            constants[f"k{i}"] = np.array(sizes, np.int64)
            if value is not None:
                constants[f"v{i}"] = np.array(value, np.float32)
            if over is not None:
                constants[f"a{i}"] = np.array(over, np.int64)
            inputs = [x, f"k{i}", "_" if value is None else f"v{i}", *([] if over is None else [f"a{i}"])]
            while inputs[-1] == "_":
                inputs.pop()
            nodes.append(node("Pad", " ".join(inputs), output, mode=mode))
        x = output
    rank = len(first) // 2 if axes[0] is None else 4
    nodes.append(node("Neg", x, "y"))
    return model(nodes, {"x": [*["batch", 2, 5, 6][: rank - 1], 7]}, ["y"], constants, opset=opset)


def overridable_sizes() -> onnx.ModelProto:
    proto = pads()
    proto.graph.input.append(onnx.helper.make_tensor_value_info("k0", onnx.TensorProto.INT64, [8]))
    return proto


SAMPLES: dict[str, Sample] = {
    "1d": lambda: pads((0, 0, 1, 0, 0, 2), (0, 0, 3, 0, 0, 1)),
    "2d": pads,
    "3d": lambda: pads((0, 0, 1, 0, 2, 0, 0, 1, 1, 0), (0, 1, 1, 0, 0, 0, 0, 2, 0, 1)),
    "values": lambda: pads(values=(1.5, 1.5)),
    "zero-written-out-once": lambda: pads(values=(0, None)),
    "batch-and-channels": lambda: pads((1, 0, 0, 0, 0, 2, 0, 0), (0, 1, 0, 0, 1, 0, 0, 1)),
    "axes": lambda: pads((1, 2), (0, 1, 1, 0), axes=([2], [-1, 2])),
    "edge": lambda: pads(modes=("edge", "edge")),
    "reflect-on-other-axes": lambda: pads((0, 0, 1, 0, 0, 0, 2, 0), (0, 0, 0, 3, 0, 0, 0, 1), modes=["reflect"] * 2),
    "attributes": lambda: pads(opset=10, values=(0.5, 0.5)),
}

DECLINES: dict[str, Sample] = {
    "another node reads what is padded first": lambda: expose(pads(), "p0"),
    "the pads or their value are not constant": overridable_sizes,
    "or their value are not constant": lambda: overridable(pads(values=(1.5, 1.5)), "v1"),
    "the modes are constant and edge": lambda: pads(modes=("constant", "edge")),
    "they pad with 0 and 1": lambda: pads(values=(None, 1)),
    "they pad with -0 and 0": lambda: pads(values=(-0.0, 0.0)),
    "a negative pad crops": lambda: pads((0, 0, -1, 0, 0, 0, 0, 0)),
    "negative pad crops": lambda: pads(second=(0, 0, -1, 0, 0, 0, 0, 0)),
    "an axis is padded twice by reflect": lambda: pads(modes=("reflect", "reflect")),
}

LEAVES: dict[str, Sample] = {
    "one": lambda: model(
        [node("Pad", "x k", "y")], {"x": [1, 2, 5]}, ["y"], {"k": np.array([0, 0, 1, 0, 0, 1], np.int64)}
    ),
}
