"""Graphs for depthwise-before-concat."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node, weights


def joined(
    sizes: Sequence[int] = (8, 12), f: str | None = None, *, per_group: int = 1, bias: bool = True, **attributes: object
) -> onnx.ModelProto:
    """Maps of the `sizes`, joined; a depthwise convolution (of more channels a group where said) and an activation."""
    names = [f"x{index}" for index in range(len(sizes))]
    channels = sum(sizes)
    constants = {"w": weights(channels, per_group, 3, 3), **({"b": weights(channels)} if bias else {})}
    nodes = [
        node("Concat", " ".join(names), "c", axis=1),
        node("Conv", "c w b" if bias else "c w", "h" if f else "y", group=channels // per_group, **attributes),
        *([node(f, "h", "y")] if f else []),
    ]
    return model(nodes, {name: ["batch", n, 6, 6] for name, n in zip(names, sizes, strict=True)}, ["y"], constants)


def fused() -> onnx.ModelProto:
    """A residual is added by the convolution itself."""
    proto = joined(pads=[1] * 4)
    conv = proto.graph.node[1]
    conv.op_type, conv.domain = "FusedConv", "com.microsoft"
    conv.input.append("z")
    proto.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 20, 6, 6]))
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return proto


def open_sizes() -> onnx.ModelProto:
    nodes = [node("Concat", "p q", "c", axis=1), node("Conv", "c w", "y", group=8)]
    return model(nodes, {"p": [1, "n", 6, 6], "q": [1, "m", 6, 6]}, ["y"], {"w": weights(8, 1, 1, 1)})


SAMPLES: dict[str, Sample] = {
    "two": joined,
    "three": lambda: joined((4, 8, 16)),
    "no-bias": lambda: joined(bias=False),
    "strides-and-pads": lambda: joined(strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "hard-swish": lambda: joined(f="HardSwish"),
}

DECLINES: dict[str, Sample] = {
    "another node reads what is joined": lambda: expose(joined(), "c"),
    "the weight or bias is not constant": lambda: overridable(joined(), "w"),
    "the weight or bias is not": lambda: overridable(joined(), "b"),
    "needs float32": lambda: to_float16(joined()),
    "not of known sizes": open_sizes,
    "do not fit the engine's blocked layout": lambda: joined((8, 6)),
    "the convolution adds something": fused,
    "each part is whole blocks": lambda: joined((16, 32)),
}

LEAVES: dict[str, Sample] = {"groups-of-two": lambda: joined(per_group=2)}
