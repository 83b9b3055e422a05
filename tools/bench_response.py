"""What local response normalization costs on onnxruntime's CPU provider, in three forms: docs/lowering.md.

    python tools/bench_response.py

Each on the maps of a convolution, with a MaxPool after it: as PyTorch exports it, as ONNX's LRN, and by a convolution
(lrn-to-conv). All in one process, in turn: medians of the rounds, less that of the same without a normalization.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc.race import measure
from cnnc_passes.driver import Driver
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.laws.lrn_to_conv import LrnToConv

# Channels, height and width: of the two-stream net, of AlexNet, of GoogLeNet's paper, and a wide one.
_MAPS = ((96, 109), (256, 26), (96, 55), (256, 27), (64, 56), (192, 56), (512, 28))
_FORMS = ("without", "exported", "LRN", "convolution")
_NUMBERS = {"alpha": 5e-4, "beta": 0.75, "bias": 2.0}
_SIZE, _INPUTS = 5, 16
_ROUNDS, _SECONDS = 15, 0.05


def main() -> None:
    """Print one line for each size of maps."""
    print(f"{'ms for':<22}" + "".join(f"{form:>13}" for form in _FORMS[1:]))
    for channels, size in _MAPS:
        sessions = [_session(form, channels, size) for form in _FORMS]
        rounds = [_turn(sessions, turn) for turn in range(_ROUNDS)]
        least, *others = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{channels:>5} x {size:>3} x {size:>3}     " + "".join(f"{1e3 * (one - least):13.2f}" for one in others))


def _turn(sessions: Sequence[onnxruntime.InferenceSession], turn: int) -> list[float]:
    """Seconds of each, measured one after the other, from another one on in each turn."""
    seconds = [0.0] * len(sessions)
    for index in range(len(sessions)):
        place = (index + turn) % len(sessions)
        one = sessions[place].get_inputs()[0]
        x = np.random.default_rng(0).standard_normal(one.shape, dtype=np.float32)
        seconds[place] = measure(lambda session=sessions[place], x=x: session.run(None, {"x": x}), _SECONDS, _SECONDS)
    return seconds


def _session(form: str, channels: int, size: int) -> onnxruntime.InferenceSession:
    model = ir.from_proto(_model(form, channels, size))
    InferShapes()(model)
    if form == "convolution":
        Driver(model).run(LrnToConv())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # constants that one of the forms does not read
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting one takes the others' cores
    return onnxruntime.InferenceSession(
        ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _model(form: str, channels: int, size: int) -> onnx.ModelProto:
    """Conv, Relu, the normalization in that form (a convolution is made of the export), MaxPool."""
    weight = 0.5 * np.random.default_rng(0).standard_normal((channels, _INPUTS, 1, 1), dtype=np.float32)
    constants = {"w": weight, "one": np.array([1])} | {name: np.float32(number) for name, number in _NUMBERS.items()}
    window = {"kernel_shape": [_SIZE, 1, 1], "pads": [_SIZE // 2, 0, 0] * 2, "count_include_pad": 1}
    forms = {
        "without": [],
        "LRN": [helper.make_node("LRN", ["r"], ["n"], size=_SIZE, **_NUMBERS)],
        "exported": [
            helper.make_node("Mul", ["r", "r"], ["s"]),
            helper.make_node("Unsqueeze", ["s", "one"], ["u"]),
            helper.make_node("AveragePool", ["u"], ["a"], **window),
            helper.make_node("Squeeze", ["a", "one"], ["m"]),
            helper.make_node("Mul", ["m", "alpha"], ["l"]),
            helper.make_node("Add", ["l", "bias"], ["t"]),
            helper.make_node("Pow", ["t", "beta"], ["p"]),
            helper.make_node("Div", ["r", "p"], ["n"]),
        ],
    }
    normalization = forms["exported" if form == "convolution" else form]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        *normalization,
        helper.make_node("MaxPool", ["n" if normalization else "r"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    shape, kind = [1, _INPUTS, size, size], onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info("x", kind, shape)], [helper.make_tensor_value_info("y", kind, None)]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "maps", *ends, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


if __name__ == "__main__":
    main()
