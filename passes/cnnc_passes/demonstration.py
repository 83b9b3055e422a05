"""A law at work on its example: the graph before and after, as models and as ONNX text."""

from __future__ import annotations

import re

import onnx
import onnx.parser
import onnx.printer
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc_passes.driver import Driver
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.rewrite import Rewrite

__all__ = ["OPSET", "demonstrate", "graph_text"]

OPSET = 21
"""The version of the standard operators in which examples are written."""
_HEADER = f'<ir_version: 10, opset_import: ["": {OPSET}]>'


def demonstrate(law: Rewrite) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The example of `law`, and the same after this law alone, as it is without a target's limits."""
    before = onnx.parser.parse_model(f"{_HEADER}\n{law.example}")
    model = ir.from_proto(before)
    InferShapes()(model)
    Driver(model).run(type(law)())
    common.RemoveUnusedNodesPass()(model)
    return before, ir.to_proto(model)


def graph_text(model: onnx.ModelProto) -> str:
    """The graph for people: interface, constants and nodes, without the names of nodes and the types of attributes."""
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    del graph.value_info[:]
    for node in graph.node:
        node.ClearField("name")
        del node.metadata_props[:]
    text = onnx.printer.to_text(graph)
    text = re.sub(r": (int|float|string)s? = ", " = ", text)
    text = re.sub(r" +\n", "\n", text).replace("=  {", "= {")
    return text.replace("}, ", "},\n    ").strip()  # a constant a line
