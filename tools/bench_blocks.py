"""What channels and groups cost that do not fit the blocked layout of onnxruntime's CPU provider: docs/lowering.md.

    python tools/bench_blocks.py channels     # chains of eight convolutions, C channels and the next multiple of 4
    python tools/bench_blocks.py groups       # 1x1, grouped, 1x1: the grouped one as it is, and with groups joined

Each pair in one process, in turn: medians of the rounds, and the median of their ratios.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from cnnc.race import measure

_CHANNELS = (18, 26, 29, 33, 41, 45, 49, 58, 65, 74)
_SIZE = 28
# Channels, channels of a group, groups joined in one, kernel, height and width.
_GROUPED = (
    (128, 8, 2, 3, 28),
    (512, 8, 2, 3, 7),
    (128, 8, 2, 1, 56),
    (256, 8, 2, 1, 14),
    (128, 4, 4, 3, 56),
    (128, 4, 4, 3, 14),
    (256, 4, 4, 3, 28),
    (512, 4, 4, 3, 7),
    (128, 2, 8, 3, 56),
    (256, 2, 8, 3, 14),
)
_ROUNDS, _SECONDS = 15, 0.05

Layer = tuple[int, int, int, int]
"""Channels in, channels out, kernel, groups."""


def main() -> None:
    """Print one line a pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("channels", "groups"))
    if parser.parse_args().what == "channels":
        for channels in _CHANNELS:
            for kernel in (3, 1):
                more = -(-channels // 4) * 4
                _compare(f"{channels} channels, {kernel}x{kernel}", *(_chain(c, kernel) for c in (channels, more)))
        return
    for channels, width, joined, kernel, size in _GROUPED:
        name = f"{channels} channels in groups of {width}, by {joined}, {kernel}x{kernel}, {size}x{size}"
        _compare(name, *(_between(channels, channels // (width * j), kernel, size) for j in (1, joined)))


def _chain(channels: int, kernel: int) -> onnxruntime.InferenceSession:
    inner: list[Layer] = [(channels, channels, kernel, 1)] * 7
    return _session([(3, channels, kernel, 1), *inner], _SIZE)


def _between(channels: int, groups: int, kernel: int, size: int) -> onnxruntime.InferenceSession:
    return _session(
        [(channels, channels, 1, 1), (channels, channels, kernel, groups), (channels, channels, 1, 1)], size
    )


def _session(layers: list[Layer], size: int) -> onnxruntime.InferenceSession:
    """Convolutions with a Relu after each, and a mean over positions."""
    rng = np.random.default_rng(0)
    nodes, constants, x = [], [], "x"
    for index, (inputs, outputs, kernel, groups) in enumerate(layers):
        weight = 0.05 * rng.standard_normal((outputs, inputs // groups, kernel, kernel), dtype=np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{index}"))
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [x, f"w{index}"], [f"c{index}"], group=groups, pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        x = f"r{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["y"]))
    shapes = ((layers[0][0], size, size), (layers[-1][1], 1, 1))
    data, result = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, *shape])
        for name, shape in zip(("x", "y"), shapes, strict=True)
    )
    graph = helper.make_graph(nodes, "chain", [data], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _compare(name: str, before: onnxruntime.InferenceSession, after: onnxruntime.InferenceSession) -> None:
    times: list[tuple[float, ...]] = []
    for turn in range(_ROUNDS):
        order = (before, after) if turn % 2 else (after, before)
        seconds = {session: _time(session) for session in order}
        times.append((seconds[before], seconds[after]))
    first, second = (statistics.median(column) * 1e6 for column in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    print(f"{name:<62} {first:8.0f} us -> {second:6.0f} us   {ratio:.2f} times as fast", flush=True)


def _time(session: onnxruntime.InferenceSession) -> float:
    one = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(one.shape, dtype=np.float32)
    return measure(lambda: session.run(None, {one.name: x}), _SECONDS, _SECONDS)


if __name__ == "__main__":
    main()
