"""Graphs for lrn-to-conv."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.contract.blocks import Sample
from tests.contract.edits import expose, overridable, to_float16
from tests.contract.graphs import model, node


def local_response(
    size: int = 3,
    alpha: float | None = 0.1,
    beta: float = 0.75,
    k: float = 2.0,
    *,
    channels: int | str = 6,
    spatial: tuple[int | str, ...] = (4, 5),
    apart: list[int] | None = None,
    squares: str = "Mul",
    kind: int = TensorProto.FLOAT,
    **pool: object,
) -> onnx.ModelProto:
    """As PyTorch writes it, with one channel more before than after where `size` is even.

    `apart`: the shape in which the channels have an axis of their own; `pool`: attributes of the pooling.
    """
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    numbers = {"alpha": alpha, "beta": beta, "k": k, "two": 2.0}
    constants = {name: np.array(number, dtype) for name, number in numbers.items() if number is not None}
    constants["one"] = np.array([1])
    ones = [1] * (len(apart) - 3 if apart else len(spatial))
    pads = [size // 2, *(0 for _ in ones), (size - 1) // 2, *(0 for _ in ones)]
    average = {"kernel_shape": [size, *ones], "pads": pads, "count_include_pad": 1, **pool}
    nodes = [
        node("Mul", "x x", "s") if squares == "Mul" else node("Pow", "x two", "s"),
        node("Reshape", "s apart", "u") if apart else node("Unsqueeze", "s one", "u"),
        node("AveragePool", "u", "a", **average),
        node("Reshape", "a back", "m") if apart else node("Squeeze", "a one", "m"),
        *([node("Mul", "m alpha", "l")] if alpha is not None else []),
        node("Add", "l k" if alpha is not None else "k m", "t"),
        *([node("Pow", "t beta", "p")] if beta != 1 else []),
        node("Div", "x p" if beta != 1 else "x t", "y"),
    ]
    if apart:
        constants |= {"apart": np.array(apart), "back": np.array([-1, channels, *spatial])}
    return model(nodes, {"x": ["batch", channels, *spatial]}, ["y"], constants, dtype=kind)


def of_two_values() -> onnx.ModelProto:
    """The squares of one value, and another divided by them."""
    proto = local_response()
    proto.graph.node[-1].input[0] = "n"
    proto.graph.node.insert(0, node("Neg", "x", "n"))
    return proto


def cubes() -> onnx.ModelProto:
    proto = local_response(squares="Pow")
    proto.graph.initializer[3].CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.float32), "two"))
    return proto


def root() -> onnx.ModelProto:
    """A power of one half, as an operator of its own."""
    proto = local_response()
    proto.graph.node[-2].CopyFrom(node("Sqrt", "t", "p"))
    return proto


def lrn(channels: int | str = 6, spatial: tuple[int | str, ...] = (4, 5), **attributes: object) -> onnx.ModelProto:
    nodes = [node("LRN", "x", "y", **{"size": 3, "alpha": 0.1, "bias": 2.0, **attributes})]
    return model(nodes, {"x": ["batch", channels, *spatial]})


SAMPLES: dict[str, Sample] = {
    "lrn": lrn,
    "of-defaults": lambda: model([node("LRN", "x", "y", size=5)], {"x": ["batch", 6, 4, 5]}),
    "wider-than-the-channels": lambda: lrn(4, size=13),
    "usual": local_response,
    "one-more-before": lambda: local_response(4),
    "two": lambda: local_response(2),
    "only-itself": lambda: local_response(1),
    "reshapes": lambda: local_response(5, apart=[-1, 1, 6, 4, 5]),
    "height-and-width-as-one": lambda: local_response(5, apart=[-1, 1, 6, 20]),
    "squares-by-a-power": lambda: local_response(squares="Pow"),
    "no-alpha": lambda: local_response(alpha=None),
    "open-sizes": lambda: local_response(spatial=("h", "w")),
    "another-power": lambda: local_response(beta=0.6),
    "a-half": lambda: local_response(beta=0.5),
    "a-root": root,
    "no-power": lambda: local_response(beta=1.0),
    "negative": lambda: local_response(alpha=-1e-9),
    "no-number": lambda: local_response(alpha=-3.0, k=1.0),
    "zeros-by-zeros": lambda: local_response(k=0.0),
}

DECLINES: dict[str, Sample] = {
    "another node reads a result in between": lambda: expose(local_response(), "t"),
    "it is for float32, not FLOAT16": lambda: to_float16(lrn()),
    "it is for float32, not DOUBLE": lambda: local_response(kind=TensorProto.DOUBLE),
    "it is not of maps": lambda: local_response(spatial=(5,)),
    "not of maps, (N, C, H, W)": lambda: local_response(spatial=(2, 4, 5), apart=[-1, 1, 6, 2, 20]),
    "the number of channels is open": lambda: lrn("channels"),
    "513 channels are too many": lambda: lrn(513),
}

LEAVES: dict[str, Sample] = {
    "a-quotient": lambda: model([node("Div", "x z", "y")], {"x": ["batch", 6, 4, 4], "z": ["batch", 6, 4, 4]}),
    "of-two-values": of_two_values,
    "without-the-zeros": lambda: local_response(count_include_pad=0),
    "over-rows-as-well": lambda: local_response(pads=[1, 1, 0, 1, 1, 0], kernel_shape=[3, 3, 1]),
    "over-rows": lambda: local_response(pads=[0, 1, 0, 0, 1, 0], kernel_shape=[1, 3, 1]),
    "every-second-channel": lambda: local_response(pads=[2, 0, 0, 2, 0, 0], dilations=[2, 1, 1]),
    "cubes": cubes,
    "an-exponent-of-the-caller": lambda: overridable(local_response(), "beta"),
}
