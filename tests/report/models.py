"""Graphs for the report's tests: a small net, one with hostile names, one of many layers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc.analysis import Analysis, analyze_model

__all__ = ["HOSTILE", "NAMES", "deep_net", "small_net"]

NAMES = ("conv", "norm", "relu", "pool", "flatten", "fc")

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(2)>',
    "<!--<script>alert(3)",
    "<b>bold</b><a href='javascript:alert(4)'>click</a>",
    "line\u2028separator\u2029and\x00control\u202ereversed \ud800",
    "{{ 7 * 7 }}${alert(5)}%{x}",
)


def small_net(
    names: tuple[str, ...] = ("conv", "norm", "relu", "pool", "flatten", "fc"), name: str = "small"
) -> Analysis:
    """Conv, BatchNormalization, Relu, GlobalAveragePool, Flatten, Gemm on 3x16x16, with an open batch."""
    rng = np.random.default_rng(0)
    x = _value("x", "batch", 3, 16, 16)
    conv = ir.node("Conv", [x, _weight("w", rng, 8, 3, 3, 3)], {"pads": [1, 1, 1, 1]}, name=names[0])
    statistics = [_weight(key, rng, 8) for key in ("scale", "shift", "mean", "var")]
    norm = ir.node("BatchNormalization", [conv.outputs[0], *statistics], name=names[1])
    relu = ir.node("Relu", norm.outputs, name=names[2])
    pool = ir.node("GlobalAveragePool", relu.outputs, name=names[3])
    flatten = ir.node("Flatten", pool.outputs, name=names[4])
    fc = ir.node("Gemm", [flatten.outputs[0], _weight("fc", rng, 8, 5)], name=names[5])
    return _analysis([x], [conv, norm, relu, pool, flatten, fc], name)


def deep_net(layers: int) -> Analysis:
    """3x3 convolutions and Relus in turn, `layers` of them, on 4x8x8."""
    rng = np.random.default_rng(0)
    x = _value("x", 1, 4, 8, 8)
    weight = _weight("w", rng, 4, 4, 3, 3)
    nodes: list[ir.Node] = []
    for index in range(layers):
        before = nodes[-1].outputs[0] if nodes else x
        if index % 2:
            nodes.append(ir.node("Relu", [before], name=f"blocks.{index}.act"))
        else:
            nodes.append(ir.node("Conv", [before, weight], {"pads": [1, 1, 1, 1]}, name=f"blocks.{index}.conv"))
    return _analysis([x], nodes, f"{layers} layers")


def _analysis(inputs: list[ir.Value], nodes: list[ir.Node], name: str) -> Analysis:
    read = [value for node in nodes for value in node.inputs if value is not None and value.const_value is not None]
    constants = {value.name: value for value in read}
    graph = ir.Graph(
        inputs, [nodes[-1].outputs[0]], nodes=nodes, initializers=list(constants.values()), opset_imports={"": 18}
    )
    for index, node in enumerate(nodes):
        node.outputs[0].name = f"y{index}"
    return analyze_model(ir.Model(graph, ir_version=10), name=name)


def _value(name: str, *shape: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def _weight(name: str, rng: np.random.Generator, *shape: int) -> ir.Value:
    array = rng.random(shape, dtype=np.float32)
    return ir.Value(
        name=name,
        shape=ir.Shape(shape),
        type=ir.TensorType(ir.DataType.FLOAT),
        const_value=ir.tensor(array, name=name),
    )
