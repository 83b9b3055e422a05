"""What keeps the engine's blocked layout: each operator between two convolutions, counted in the engine's graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from cnnc.engine_graph.census import census
from cnnc_passes.forms.blocked_layout import ACTIVATIONS, is_blocked
from tests.contract.blocks import batchnorm
from tests.contract.graphs import model, node, weights

WINDOW = {"kernel_shape": [3, 3], "pads": [1] * 4}
MICROSOFT = "com.microsoft"
OPERANDS = {"low": np.float32(-0.5), "high": np.float32(0.5), "slope": weights(16, 1, 1)}


def between(*nodes: onnx.NodeProto, made: int = 16, read: int = 16) -> onnx.ModelProto:
    """A convolution of `made` filters and a Gelu, which none takes in, make c; `nodes` r of it; a convolution reads r.

    Graphs without a Gelu would not do: the engine computes many activations in the convolution before.
    """
    constants = {"w": weights(made, 16, 3, 3), "v": weights(16, read, 1, 1), **batchnorm(made), **OPERANDS}
    names = {name for one in nodes for name in one.input} | {"w", "v"}
    return model(
        [node("Conv", "x w", "a", pads=[1] * 4), node("Gelu", "a", "c"), *nodes, node("Conv", "r v", "y")],
        {"x": [1, 16, 8, 8]},
        ["y"],
        {name: array for name, array in constants.items() if name in names},
    )


def gated() -> onnx.ModelProto:
    return between(node("GlobalAveragePool", "c", "p"), node("Mul", "c p", "r"))


KEPT = {
    **{op: between(node(op, "c", "r")) for op in sorted(ACTIVATIONS) if "::" not in op},
    **{
        op: between(node(op.partition("::")[2], "c", "r", domain=MICROSOFT)) for op in sorted(ACTIVATIONS) if "::" in op
    },
    "BatchNormalization": between(node("BatchNormalization", "c gamma beta mean var", "r")),
    **{op: between(node(op, "c", "r", **WINDOW)) for op in ("AveragePool", "MaxPool")},
    **{op: between(node(op, "c", "r")) for op in ("GlobalAveragePool", "GlobalMaxPool")},
    **{op: between(node("Tanh", "c", "t"), node(op, "c t", "r")) for op in ("Add", "Mul", "Sum")},
    "Sum of three": between(node("Tanh", "c", "t"), node("Sum", "c t c", "r")),
    "Concat": between(node("Concat", "c c", "r", axis=1), read=32),
    "20 channels": between(node("Relu", "c", "r"), made=20, read=20),
    "Add of 20 channels": between(node("Tanh", "c", "t"), node("Add", "c t", "r"), made=20, read=20),
}
LEFT = {
    **{op: between(node(op, "c", "r")) for op in ("Abs", "Elu", "Erf", "Exp", "LeakyRelu", "Neg", "Softplus", "Sqrt")},
    "Clip": between(node("Clip", "c low high", "r")),
    "PRelu": between(node("PRelu", "c slope", "r")),
    **{op: between(node("Tanh", "c", "t"), node(op, "c t", "r")) for op in ("Max", "Sub")},
    "a gate": gated(),
    **{
        f"{op} of 20 channels": between(node(op, "c", "r", **WINDOW), made=20, read=20)
        for op in ("AveragePool", "MaxPool")
    },
    "GlobalAveragePool of 20 channels": between(node("GlobalAveragePool", "c", "r"), made=20, read=20),
    "MaxPool with indices": between(node("MaxPool", "c", "r i", **WINDOW), node("Neg", "i", "n")),
    "Concat of 20 channels": between(node("Concat", "c c", "r", axis=1), made=20, read=40),
    "Concat along the height": between(node("Concat", "c c", "r", axis=2)),
    "Concat along channels, from the end": between(node("Concat", "c c", "r", axis=-3), read=32),
}


@pytest.mark.parametrize(
    ("proto", "kept"),
    [*((proto, True) for proto in KEPT.values()), *((proto, False) for proto in LEFT.values())],
    ids=[*KEPT, *LEFT],
)
def test_a_map_is_in_blocks_where_the_engine_has_it_there(proto: onnx.ModelProto, kept: bool, tmp_path: Path) -> None:
    proto.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    onnx.save(proto, tmp_path / "net.onnx")
    ends = 2  # into blocks at the network's input, out of them at its output
    assert (census(tmp_path / "net.onnx", "cpu", tmp_path).layout_conversions == ends) == kept
    last = next(one for one in ir.from_proto(proto).graph if "y" in {value.name for value in one.outputs})
    assert is_blocked(last.inputs[0]) == kept


@pytest.mark.parametrize("op", ["Clip", "LeakyRelu"])
def test_what_a_convolution_takes_in_is_not_counted_upon(op: str, tmp_path: Path) -> None:
    """It stays in blocks if nothing else reads the convolution, of which `is_blocked` knows nothing."""
    nodes = [node("Conv", "x w", "a"), node(op, "a low high" if op == "Clip" else "a", "r"), node("Conv", "r v", "y")]
    constants = {"w": weights(16, 16, 3, 3), "v": weights(16, 16, 1, 1), **(OPERANDS if op == "Clip" else {})}
    constants.pop("slope", None)
    proto = model(nodes, {"x": [1, 16, 8, 8]}, ["y"], constants)
    onnx.save(proto, tmp_path / "net.onnx")
    assert census(tmp_path / "net.onnx", "cpu", tmp_path).layout_conversions == 2
    assert not is_blocked(ir.from_proto(proto).graph[1].outputs[0])
