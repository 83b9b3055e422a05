"""Graphs for split-concat."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def joined(
    sizes: Sequence[int] = (8, 12), f: str | None = None, *, filters: int = 4, bias: bool = True, **attributes: object
) -> onnx.ModelProto:
    """Maps of the `sizes`, joined; a convolution of 3x3 and maybe an activation."""
    names = [f"x{index}" for index in range(len(sizes))]
    constants = {"w": weights(filters, sum(sizes), 3, 3), **({"b": weights(filters)} if bias else {})}
    nodes = [
        node("Concat", " ".join(names), "c", axis=1),
        node("Conv", "c w b" if bias else "c w", "h" if f else "y", **attributes),
        *([node(f, "h", "y", **({"alpha": 0.1} if f == "LeakyRelu" else {}))] if f else []),
    ]
    return model(nodes, {name: ["batch", n, 6, 6] for name, n in zip(names, sizes, strict=True)}, ["y"], constants)


def fused() -> onnx.ModelProto:
    """As fuse-activation leaves it, with the sum of a residual block."""
    proto = joined(bias=True, pads=[1] * 4)
    conv = proto.graph.node[1]
    conv.op_type, conv.domain = "FusedConv", "com.microsoft"
    conv.input.append("z")
    conv.attribute.append(onnx.helper.make_attribute("activation", "Relu"))
    proto.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 4, 6, 6]))
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return proto


def open_sizes() -> onnx.ModelProto:
    nodes = [node("Concat", "p q", "c", axis=1), node("Conv", "c w", "y")]
    return model(nodes, {"p": [1, "n", 6, 6], "q": [1, "m", 6, 6]}, ["y"], {"w": weights(4, 8, 1, 1)})


def along_height() -> onnx.ModelProto:
    nodes = [node("Concat", "p q", "c", axis=2), node("Conv", "c w", "y")]
    return model(nodes, {"p": [1, 8, 6, 6], "q": [1, 8, 6, 6]}, ["y"], {"w": weights(4, 8, 1, 1)})


def depthwise() -> onnx.ModelProto:
    nodes = [node("Concat", "p q", "c", axis=1), node("Conv", "c w", "y", group=16)]
    return model(nodes, {"p": [1, 8, 6, 6], "q": [1, 8, 6, 6]}, ["y"], {"w": weights(16, 1, 3, 3)})


SAMPLES: dict[str, Sample] = {
    "two": joined,
    "three-of-whole-blocks": lambda: joined((16, 16, 16), filters=8),
    "no-bias": lambda: joined(bias=False),
    "strides-and-pads": lambda: joined(strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "leaky-relu": lambda: joined(f="LeakyRelu"),
    "relu": lambda: joined(f="Relu"),
    "residual": fused,
}

DECLINES: dict[str, Sample] = {
    "another node reads what is joined": lambda: expose(joined(), "c"),
    "the weight or bias is not constant": lambda: overridable(joined(), "w"),
    "the weight or bias is not": lambda: overridable(joined(), "b"),
    "needs float32": lambda: to_float16(joined()),
    "not of known sizes": open_sizes,
    "do not fit the engine's blocked layout": lambda: joined((8, 6)),
    "the sums would move about as much": lambda: joined((4, 4, 4), filters=8),
    "no longer fuse the HardSigmoid": lambda: joined(f="HardSigmoid"),
}

LEAVES: dict[str, Sample] = {"along-height": along_height, "depthwise": depthwise}
